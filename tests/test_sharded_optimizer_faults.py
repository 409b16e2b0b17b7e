"""ShardedOptimizer when owners are lost, and gradients come late, in any order, and twice: the same bits."""

import signal
from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
from losing import Losing
from sharded_cases import ODD, ranks, same_bits, same_state, step

import symopt as so
from symopt.distributed import InProcess, ShardedOptimizer, tree_sum
from symopt.distributed.owner import Owner
from symopt.distributed.parts import Parts
from symopt.errors import ClusterError, MismatchError, PushFailedError
from symopt.training.runner import Runner

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"rule": "adam"},
    "rows": {"rule": "group_adagrad"},
    "norms": {"rule": "lamb", "wd": 0.01},
    "measured": {
        "rule": "torch_nadam", "clip_global_norm": 0.5, "accumulate": 2, "ema": 0.9, "loss_scale": "dynamic",
    },
}  # fmt: skip
METHODS = ("push", "apply", "measure", "learn", "begin", "skip")


def run(transport: Losing, n_steps: int = 7, snapshot_at: int = -1, shuffle: int = -1, **options: Any) -> Any:
    rule = options.pop("rule")
    made, whole, params, single = cases.both(transport, rule, ODD, 3, 3, lr=0.1, **options)
    rng = np.random.default_rng(max(shuffle, 0))
    for k in range(n_steps):
        grads = ranks(k, 3)
        if k == 4 and "loss_scale" in options:
            grads[2]["vector"][1000] = np.nan
        if k == snapshot_at:
            made.snapshot()
        if shuffle < 0:
            step(made, whole, grads)
        else:
            for rank in rng.permutation(np.repeat(np.arange(3), 2)):
                assert made.push(rank, grads[rank]) in ("held", "dup")
                if snapshot_at == k:
                    made.snapshot()
            assert made.pull() == whole(tree_sum(grads))
        same_bits(params, single)
    same_state(made.state_dict(), whole.state_dict())
    return made


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", OPTIONS)
def test_an_owner_lost_at_any_call(options: str, method: str, when: str) -> None:
    counted = Losing()
    run(counted, **OPTIONS[options])
    total = counted.calls[method]
    for nth in sorted({1, 2, total // 2, total - 1, total} & set(range(1, total + 1))):
        lost: list[str] = []

        def lose(name: str, called: str, count: int, nth: int = nth, lost: list[str] = lost) -> str | None:
            if called == method and count == nth and not lost:
                lost.append(name)
                return when
            return None

        made = run(Losing(lose), **OPTIONS[options])
        assert lost
        assert made.recoveries == 1


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("options", OPTIONS)
def test_many_are_lost_while_gradients_are_shuffled_and_sent_twice(options: str, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def lose(name: str, method: str, count: int) -> str | None:
        if (method, count) == ("apply", 5):
            return "after"
        return [None, "before", "after"][rng.choice(3, p=[0.984, 0.008, 0.008])]

    made = run(Losing(lose), 9, snapshot_at=seed % 5, shuffle=seed, **OPTIONS[options])
    assert made.recoveries > 0


def test_no_other_owner_is_told_anything_again() -> None:
    transport = Losing(lambda name, method, count: "after" if (name, count) == ("dense-1-0", 8) else None)
    run(transport, rule="adam")
    assert {name for name, _ in transport.log} == {"dense-0-0", "dense-1-0", "dense-1-1", "dense-2-0"}
    of = [method for name, method in transport.log if name == "dense-0-0"]
    assert of.count("apply") == 7
    assert of.count("begin") == of.count("learn") == 1


def test_what_is_kept_is_bounded() -> None:
    transport = Losing()
    made, whole, params, single = cases.both(transport, "adam", ODD, 3, 2, lr=0.1)
    each = sum(p.nbytes for p in params.values()) * 2
    made._owners._max_bytes = int(2.5 * each)
    for k in range(9):
        step(made, whole, ranks(k, 2))
        assert sum(line.kept_bytes for line in made._owners.lines) <= 3 * each
    assert transport.calls["state"] >= 3 * 3
    transport.started[1].is_alive = False
    step(made, whole, ranks(9, 2))
    same_bits(params, single)
    assert transport.calls["apply"] == 3 * 10 + 2 + 1  # those since the snapshot, and the one that was lost


def test_an_owner_that_is_always_lost() -> None:
    transport = Losing(
        lambda name, method, _: "before" if name.startswith("dense-1") and method == "apply" else None
    )
    made, _, params, _ = cases.both(transport, "adam", ODD, 3, 2, lr=0.1)
    before = {n: p.copy() for n, p in params.items()}
    with pytest.raises(PushFailedError, match="5 processes were lost one after the other"):
        made.step(ranks(0, 2))
    same_bits(params, before)
    with pytest.raises(ClusterError, match="load a state"):
        made.step(ranks(0, 2))


def owner(epoch: int = 0) -> Owner:
    pieces = [{"name": "w", "shape": [3], "dtype": "float32", "kept": []}]
    return Owner(
        {"modules": [], "engine": "auto", "wire": None, "is_loose": False, "epoch": epoch, "pieces": pieces}
    )


def test_an_owner_takes_each_push_once() -> None:
    made, g = owner(epoch=2), [np.ones(3, np.float32)]
    assert made.push(2, 1, 1, 2, None, g) == "held"
    assert made.push(2, 1, 1, 2, None, [g[0].copy()]) == "dup"
    assert made.push(1, 1, 0, 2, None, g) == "fenced"
    assert made.push(3, 1, 0, 2, None, g) == "fenced"
    assert made.push(2, 9, 0, 2, None, g) == "gap"
    with pytest.raises(MismatchError, match="rank 1 sent other gradients for step 1"):
        made.push(2, 1, 1, 2, None, [2 * g[0]])
    with pytest.raises(MismatchError, match="step 1 has 2 ranks; rank 0 says 3"):
        made.push(2, 1, 0, 3, None, g)
    for epoch, step_ in ((2, 1), (2, 2), (1, 1)):
        with pytest.raises(ClusterError, match="can't take step"):
            made.apply(epoch, step_, (0, 0), {}, None)


class Slow(Losing):
    """Every answer takes six seconds."""

    def wait(self, reply: Any, timeout: float | None = None) -> Any:
        if timeout is not None and timeout < 6:
            raise TimeoutError(f"not in {timeout} s")
        return super().wait(reply, timeout)


def test_owners_that_are_only_slow_are_given_the_time_they_need() -> None:
    params, single = {"w": np.ones(8)}, {"w": np.ones(8)}
    made = ShardedOptimizer(Slow(), params, "adam", lr=0.1, timeout=1.0)
    whole = so.compile("adam", single, lr=0.1)
    for k in range(3):
        assert made.step({"w": np.arange(8.0) - k}) == whole({"w": np.arange(8.0) - k})
    same_bits(params, single)
    assert made.recoveries == 3  # after one, two and four seconds


def test_a_nan_is_the_same_data_and_the_other_zero_is_not() -> None:
    parts = Parts(0, 0)
    assert parts.offer(0, 1, 0, 1, (None, [np.array([np.nan, 0.0])])) == "held"
    assert parts.offer(0, 1, 0, 1, (None, [np.array([np.nan, 0.0])])) == "dup"
    with pytest.raises(MismatchError):
        parts.offer(0, 1, 0, 1, (None, [np.array([np.nan, -0.0])]))


def test_an_interrupt_within_an_owner_does_not_split_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made, whole, params, single = cases.both(InProcess(), "adam", ODD, 3, 2, lr=0.1)
    run_as_before, seen = Runner.run, []

    def run(self: Any, *args: Any) -> Any:
        found = run_as_before(self, *args)
        seen.append(1)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr("symopt.distributed.owner.Runner", type("Interrupted", (Runner,), {"run": run}))
    grads = ranks(0, 2)
    with pytest.raises(KeyboardInterrupt):
        made.step(grads)
    assert made.pull() and whole(tree_sum(grads))
    same_bits(params, single)
    step(made, whole, ranks(1, 2))
    same_bits(params, single)
    same_state(made.state_dict(), whole.state_dict())
