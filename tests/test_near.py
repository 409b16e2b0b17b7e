"""Calls on sockets: order, answers that nobody wants, messages larger than buffers, and the end of either side."""

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from symopt.distributed.near import Channel, Listener, _message, wait_for_any
from symopt.errors import ProcessLostError


def echoed(*said: Any) -> Any:
    return list(said)


def sleepy(seconds: float, value: Any) -> list[Any]:
    time.sleep(seconds)
    return [value]


def connected(answer: Callable[..., Any], taken: list[Any] | None = None) -> Channel:
    def take(values: Any) -> Any:
        if taken is not None:
            taken.append(values)
        return values

    return Channel(Listener(answer).address, "shard 3", take)


@pytest.fixture
def channel() -> Iterator[Channel]:
    found = connected(echoed)
    yield found
    found.close()


def test_answers_come_in_the_order_of_calls(channel: Channel) -> None:
    answers = [channel.call(k) for k in range(100)]
    for k, answer in reversed(list(enumerate(answers))):
        channel.wait(answer, 10)
        assert answer.values == [k]


def test_messages_larger_than_all_buffers_go_both_ways_at_once(channel: Channel) -> None:
    """Neither side may wait for the other to read."""
    answers = [channel.call(bytes(1 << 20)) for _ in range(30)]
    for answer in answers:
        channel.wait(answer, 60)
        assert answer.values is not None and len(answer.values[0]) == 1 << 20


def test_answers_that_nobody_wants_are_taken_all_the_same() -> None:
    taken: list[Any] = []
    channel = connected(echoed, taken)
    for k in range(5):
        channel.call(k)
    gc.collect()
    last = channel.call("last")
    channel.wait(last, 10)
    assert taken == [[0], [1], [2], [3], [4], ["last"]]


def test_time_out_and_a_later_answer() -> None:
    channel = connected(sleepy)
    answer = channel.call(0.3, 7)
    for timeout in (0.0, 0.05):
        with pytest.raises(TimeoutError, match="shard 3 has not answered after"):
            channel.wait(answer, timeout)
    channel.wait(answer, 10)
    assert answer.values == [7]


def test_a_process_that_closes_is_lost_with_all_that_waits() -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    address = f"\0symopt-test-{os.getpid()}-{time.monotonic_ns()}"
    listener.bind(address)
    listener.listen()
    channel = Channel(address, "shard 3", list)
    answers = [channel.call(k) for k in range(3)]
    accepted, _ = listener.accept()
    accepted.close()
    for answer in answers:
        channel.wait(answer, 10)
        assert isinstance(answer.error, ProcessLostError) and answer.error.process == "shard 3"
    later = channel.call(1)
    assert later.is_there and later.error is not None


def test_nobody_at_the_address() -> None:
    answer = Channel("\0symopt-nobody", "shard 3", list).call(1)
    assert isinstance(answer.error, ProcessLostError)


def test_what_is_closed_answers_no_more(channel: Channel) -> None:
    waiting = channel.call(1)
    channel.close()
    assert waiting.is_there
    channel.close()
    assert channel.call(2).error is not None


def test_several_threads_wait_for_their_own_answers() -> None:
    channel = connected(sleepy)
    found: dict[int, Any] = {}

    def ask(k: int) -> None:
        answer = channel.call(0.01, k)
        channel.wait(answer, 30)
        found[k] = answer.values

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [k] for k in range(12)}


def test_waiting_for_any_of_several() -> None:
    slow, fast = connected(sleepy), connected(sleepy)
    never, soon = slow.call(30.0, 1), fast.call(0.05, 2)
    until = time.monotonic() + 10
    while not soon.is_there and time.monotonic() < until:
        wait_for_any([slow, fast], 1.0)
    assert soon.values == [2] and not never.is_there
    slow.close()
    wait_for_any([slow], 0.0)


class Interrupted(Exception):
    """What a handler raises."""


def test_an_interrupt_at_any_moment_loses_nothing(no_collections: None) -> None:
    """Every call that was made still has its answer, and its own."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    channel, answers, interrupted = connected(echoed), [], 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for k in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + 2e-6 * k)
                answers.append((k, channel.call(k, bytes(20_000))))
                channel.wait(answers[-1][1], 10)
                time.sleep(0.001)
            except Interrupted:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        for k, answer in answers:
            channel.wait(answer, 10)
            assert answer.values is not None and answer.values[0] == k
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 300


def test_an_answer_that_cannot_be_read_is_the_error_of_its_call_only() -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0symopt-test-{os.getpid()}-unread")
    listener.listen()
    channel = Channel(listener.getsockname(), "worker 1", list)
    connection, _ = listener.accept()
    answers = [channel.call(k) for k in range(4)]
    connection.sendall(_message([0]) + _message([Elsewhere()]) + _message([2]))
    for k in (1, 0, 2):
        channel.wait(answers[k], 10)
    connection.sendall(_message([3]))
    channel.wait(answers[3], 10)
    assert [answer.values for answer in answers] == [[0], None, [2], [3]]
    assert "worker 1 answered what can't be read here: ModuleNotFoundError" in str(answers[1].error)
    channel.close()


class Elsewhere:
    """Of a module that is not here."""

    def __reduce__(self) -> Any:
        return import_module, ("symopt_that_is_elsewhere",)
