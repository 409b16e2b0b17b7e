"""Processes of Ray: what they are sent, in which order, what they raise, and what is heard of one that is gone."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import rays

from symopt.distributed import rayhandles
from symopt.distributed.onray import OnRay
from symopt.distributed.transport import READS, WRITES
from symopt.errors import (
    AttributeValueError,
    ClusterError,
    MismatchError,
    ProcessLostError,
    StateError,
    StoreFullError,
)

ROWS = (np.arange(1000), np.ones((1000, 64), np.float32))
LONG = 60.0  # s; never waited for


@pytest.fixture(scope="module", params=["beside", "through Ray"])
def share(request: pytest.FixtureRequest) -> bool:
    """Whether processes are called as those on this machine are, or as those on others."""
    return bool(request.param == "beside")


@pytest.fixture
def ray_transport(share: bool) -> Iterator[OnRay]:
    pytest.importorskip("ray")
    transport = rays.instance(share)
    before = list(transport.hosts)
    yield transport
    for host in [host for host in transport.hosts if host not in before]:
        transport.stop(host)


def started(name: str, share: bool) -> Iterator[Any]:
    """A process for all tests that leave it as it was: to start one takes a second."""
    pytest.importorskip("ray")
    host = rays.instance(share).start("rayserved:Service", name, {})
    yield host
    rays.instance(share).stop(host)


@pytest.fixture(scope="module")
def shared(share: bool) -> Iterator[Any]:
    yield from started("shared", share)


@pytest.fixture(scope="module")
def other(share: bool) -> Iterator[Any]:
    yield from started("other", share)


@pytest.fixture
def ask(ray_transport: OnRay, shared: Any) -> Any:
    return lambda method, *args: ray_transport.wait(ray_transport.call(shared, method, *args))


@pytest.fixture
def host(ray_transport: OnRay) -> Any:
    """A process of the test's own."""
    return ray_transport.start("rayserved:Service", "shard 0", {})


# ---- what is sent


def test_arrays_arrive_read_only_and_aligned(ray_transport: OnRay, ask: Any) -> None:
    expected = [(False, 0, float(a.sum())) for a in ROWS]
    assert ask("arrays", ROWS) == expected
    assert ask("arrays", ray_transport.put(ROWS)) == expected


def test_what_was_put_may_be_written_to(ray_transport: OnRay, ask: Any) -> None:
    given = np.ones(100_000)
    held = ray_transport.put(given)
    given[:] = 2
    assert ask("echo", held).sum() == 100_000


def test_answers_are_arguments(ray_transport: OnRay, other: Any, ask: Any) -> None:
    numbers, text = ray_transport.call(other, "pair", returns=2)
    assert ask("echo", text) == "two"
    np.testing.assert_array_equal(ask("echo", numbers), [0, 1, 2])
    assert ray_transport.is_done(numbers)


def test_threads_are_bounded(ask: Any) -> None:
    assert ask("threads") == 1


# ---- order


def test_calls_of_a_lane_are_made_in_order(ray_transport: OnRay, shared: Any, other: Any, ask: Any) -> None:
    """Also where arguments are large, or not there yet."""
    late = ray_transport.call(other, "slow", 0.3)
    sizes = np.random.default_rng(0).integers(0, 60_000, 100)
    for number, size in enumerate(sizes):
        ray_transport.call(shared, "note", number, late if number % 10 == 1 else np.ones(size))
    assert ask("notes") == list(range(100))


@pytest.mark.parametrize("busy, free", [(WRITES, READS), (READS, WRITES)])
def test_lanes_do_not_wait_for_each_other(ray_transport: OnRay, host: Any, busy: str, free: str) -> None:
    slow = ray_transport.call(host, "slow", LONG, lane=busy)
    behind = ray_transport.call(host, "echo", 1, lane=busy)
    for value in range(3):
        assert ray_transport.wait(ray_transport.call(host, "echo", value, lane=free), LONG / 2) == value
    assert isinstance(ray_transport.process_id(host), int)
    assert not ray_transport.is_done(slow) and not ray_transport.is_done(behind)


def test_a_lane_does_not_wait_for_arguments_of_the_other(
    ray_transport: OnRay, host: Any, shared: Any, share: bool
) -> None:
    if share:
        pytest.skip("the call itself waits for them")
    waits = ray_transport.call(shared, "echo", ray_transport.call(host, "slow", LONG))
    assert ray_transport.wait(ray_transport.call(shared, "echo", 1, lane=READS), LONG / 2) == 1
    assert not ray_transport.is_done(waits)


# ---- what is raised


def test_what_a_method_raises(ask: Any) -> None:
    with pytest.raises(StateError, match="not this") as raised:
        ask("refuse", "not this")
    assert type(raised.value) is StateError and str(raised.value) == "not this"
    assert "rayserved.py" in raised.value.__notes__[-1]
    with pytest.raises(AttributeError, match="unheard_of"):
        ask("unheard_of")
    assert ask("echo", 1) == 1


def test_what_cannot_be_sent_is_told(ask: Any) -> None:
    with pytest.raises(ClusterError, match="Several: onetwo"):
        ask("several")


def test_an_argument_that_was_not_made(ray_transport: OnRay, ask: Any, host: Any) -> None:
    other = ray_transport.start("rayserved:Service", "worker", {})
    for given in [
        ray_transport.call(other, "refuse", "why"),
        *ray_transport.call(other, "refuse", "why", returns=2),
    ]:
        with pytest.raises(StateError, match="why"):
            ask("echo", given)


@pytest.mark.parametrize(
    "service, config, error, text",
    [
        ("rayserved:Service", {"refuse": "these options"}, StateError, "these options"),
        ("rayserved:Nothing", {}, AttributeValueError, "rayserved:Nothing"),
        ("no_such_module:Service", {}, ClusterError, "No module named 'no_such_module'"),
    ],
)
def test_a_process_that_cannot_be_made(
    ray_transport: OnRay, service: str, config: dict[str, Any], error: type[Exception], text: str
) -> None:
    host = ray_transport.start(service, "worker 7", config)
    for lane in (WRITES, READS):
        with pytest.raises(error, match=text):
            ray_transport.wait(ray_transport.call(host, "echo", 1, lane=lane))


def test_a_process_that_no_machine_has_room_for(
    ray_transport: OnRay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rayhandles, "SLOW_SECONDS", 1)
    monkeypatch.setattr(rayhandles, "START_SECONDS", 2)
    with OnRay(reserve={"num_cpus": 64}) as large:
        host = large.start("rayserved:Service", "shard 7", {})
        with pytest.raises(ProcessLostError, match="shard 7 is gone: it has not begun after 2 s"):
            large.call(host, "echo", 1)
    assert "shard 7: it has not begun after 1 s, and reserves {'num_cpus': 64}; Ray has" in caplog.text


def test_other_versions_are_refused(ray_transport: OnRay, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ray_transport._versions | {"numpy": "1.0", "byte order": "mixed"}
    monkeypatch.setattr(ray_transport, "_versions", driver)
    host = ray_transport.start("rayserved:Service", "shard 0", {})
    with pytest.raises(MismatchError) as raised:
        ray_transport.wait(ray_transport.call(host, "echo", 1))
    assert "numpy: 1.0 there" in str(raised.value) and "byte order: mixed there" in str(raised.value)
    assert "python" not in str(raised.value)


# ---- a process that is gone


def test_killed(ray_transport: OnRay, host: Any, other: Any, share: bool) -> None:
    """What it was doing, what was to come, what comes later, and what others were to get from it."""
    doing = ray_transport.call(host, "slow", LONG)
    queued = [ray_transport.call(host, "echo", k, lane=lane) for k in range(3) for lane in (WRITES, READS)]
    passed_on = None if share else ray_transport.call(other, "echo", doing)
    number = ray_transport.process_id(host)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    passed_on = passed_on or ray_transport.call(other, "echo", doing)
    later = ray_transport.call(host, "echo", 1)
    for reply in [doing, passed_on, queued[-2], later]:
        with pytest.raises(ProcessLostError, match="shard 0 is gone") as raised:
            ray_transport.wait(reply, LONG)
        assert raised.value.process == "shard 0"
    assert ray_transport.is_done(doing) and ray_transport.is_done(later)
    assert ray_transport.wait(ray_transport.call(other, "echo", 2)) == 2


def test_one_that_kills_itself(ray_transport: OnRay, host: Any) -> None:
    with pytest.raises(ProcessLostError, match="shard 0"):
        ray_transport.wait(ray_transport.call(host, "die"))
    again = ray_transport.start("rayserved:Service", "shard 0", {})
    assert ray_transport.wait(ray_transport.call(again, "notes")) == []
    ray_transport.stop(host)


def test_stopped(ray_transport: OnRay, host: Any) -> None:
    assert ray_transport.wait(ray_transport.call(host, "echo", 1)) == 1
    doing = ray_transport.call(host, "slow", LONG)
    ray_transport.stop(host)
    ray_transport.stop(host)
    with pytest.raises(ProcessLostError, match="shard 0"):
        ray_transport.wait(doing, LONG)


def test_a_spare_takes_its_place(ray_transport: OnRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_transport, "_spares", 1)
    first = ray_transport.start("rayserved:Service", "first", {})
    (spare,) = ray_transport._waiting["rayserved"]
    number = ray_transport.process_id(spare)
    second = ray_transport.start("rayserved:Service", "second", {"refuse": "this"})
    assert ray_transport.process_id(second) == number != ray_transport.process_id(first)
    with pytest.raises(StateError, match="this"):
        ray_transport.wait(ray_transport.call(second, "notes"))
    (spare,) = ray_transport._waiting["rayserved"]
    ray_transport.stop(spare)
    assert ray_transport._waiting["rayserved"] == []


# ---- waiting


def test_time_out(ray_transport: OnRay, host: Any) -> None:
    slow = ray_transport.call(host, "slow", LONG)
    for timeout in (0.05, 0):
        with pytest.raises(TimeoutError, match="shard 0"):
            ray_transport.wait(slow, timeout)


def test_interrupted(ray_transport: OnRay, host: Any, no_collections: None) -> None:
    assert ray_transport.wait(ray_transport.call(host, "echo", 1)) == 1
    slow = ray_transport.call(host, "slow", LONG)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ray_transport.wait(slow, LONG)
    assert ray_transport.wait(ray_transport.call(host, "echo", 1, lane=READS)) == 1


def test_what_another_machine_answered_is_there_as_long_as_the_answer_is_held(
    ray_transport: OnRay, host: Any
) -> None:
    """A process here reads it in memory of the driver's."""
    far = ray_transport.start("rayserved:Service", "far", {})
    far.memory = None  # as if it were on another machine
    answers = [ray_transport.call(far, "ones", 20_000) for _ in range(3)]
    for answer in answers:
        ray_transport.wait(ray_transport.call(host, "keep", answer))
        others = [ray_transport.put(np.zeros(20_000)) for _ in range(8)]
        del others
    assert ray_transport.wait(ray_transport.call(host, "sums")) == [20_000.0] * 3
    before = ray_transport.store.held_bytes
    del answer, answers
    assert ray_transport.store.held_bytes == before - (3 * 160_000 if ray_transport.store.arena else 0)
    ray_transport.stop(far)


# ---- the store


@pytest.fixture
def filled(ray_transport: OnRay) -> Iterator[list[Any]]:
    """The store, as full as `put` makes it."""
    held: list[Any] = []
    with pytest.raises(StoreFullError, match="has no room"):
        while len(held) < 1000:
            held.append(ray_transport.put(np.ones(250_000)))
    assert len(held) * 2_000_000 > 0.8 * ray_transport.capacity
    assert ray_transport.store.held_bytes == len(held) * 2_000_000
    yield held
    held.clear()
    assert ray_transport.store.held_bytes == 0


def test_a_full_store(ray_transport: OnRay, ask: Any, filled: list[Any], share: bool) -> None:
    if share:  # what there is no room for is sent
        assert ask("ones", 20_000_000).sum() == 20_000_000
    for method, args in [("ones", (20_000_000,)), ("echo", (np.ones(5_000_000),))][share:]:
        with pytest.raises(StoreFullError, match="has no room"):
            ask(method, *args)
    assert ask("arrays", filled[0:0]) == []
    with pytest.raises(StoreFullError):
        ray_transport.put((b"x" * 40_000_000, {"rows": np.ones(10)}))


def test_room_is_there_again(ray_transport: OnRay, filled: list[Any]) -> None:
    count = len(filled)
    filled.clear()
    filled += [ray_transport.put(np.ones(250_000)) for _ in range(count)]


def test_an_answer_that_is_passed_on_stays_when_its_process_is_gone(
    ray_transport: OnRay, host: Any, other: Any
) -> None:
    rows = ray_transport.call(host, "ones", 100_000)
    assert ray_transport.wait(rows).sum() == 100_000
    number = ray_transport.process_id(host)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    with pytest.raises(ProcessLostError):
        ray_transport.wait(ray_transport.call(host, "echo", 1), LONG)
    late = ray_transport.start("rayserved:Service", "late", {})
    for reader in (other, late):
        assert ray_transport.wait(ray_transport.call(reader, "echo", rows)).sum() == 100_000


def test_rows_stay_what_they_are_while_they_are_held(ray_transport: OnRay, ask: Any) -> None:
    """Their room is used again when nobody holds them any more, and not before."""
    kept = [ask("echo", np.full(50_000, k)) for k in range(20)]
    views = [rows[100:200] for rows in kept]
    del kept
    for k in range(100, 200):
        ask("echo", np.full(50_000, k))
    assert [set(view.tolist()) for view in views] == [{k} for k in range(20)]


def test_many_calls_that_nobody_waits_for(ray_transport: OnRay, host: Any) -> None:
    for k in range(3000):
        ray_transport.call(host, "note", k, "x" * 1000)
    assert ray_transport.wait(ray_transport.call(host, "notes"), LONG) == list(range(3000))


def test_several_threads_call_one_process(ray_transport: OnRay, host: Any) -> None:
    def ask(k: int) -> list[int]:
        replies = [
            ray_transport.call(host, "echo", 1000 * k + i, lane=(WRITES, READS)[i % 2]) for i in range(50)
        ]
        return [ray_transport.wait(reply, LONG) for reply in replies]

    with ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(ask, range(8))):
            assert found == list(range(1000 * k, 1000 * k + 50))


def test_both_kinds_of_processes_read_what_either_answers() -> None:
    pytest.importorskip("ray")
    near, far = rays.instance(True), rays.instance(False)
    one, two = (t.start("rayserved:Service", "mixed", {}) for t in (near, far))
    two.memory = None
    try:
        rows = near.call(one, "ones", 50_000)
        held = near.put(np.ones(60_000))
        answers = [near.call(two, "echo", rows), near.call(two, "echo", held), near.call(two, "ones", 70_000)]
        assert [near.wait(near.call(one, "echo", each)).sum() for each in answers] == [50_000, 60_000, 70_000]
        assert set(near.ready([answers[0], rows], LONG)) <= {answers[0], rows}
    finally:
        near.stop(one)
        far.stop(two)
