"""A ShardedOptimizer in checkpoints of its cluster: begun again, taken back, resharded, beside tables, with kills."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
from losing import Losing
from sharded_cases import ODD, ranks, same_bits, same_state, step

import symopt as so
from symopt.distributed import Cluster, ShardedOptimizer, ShardedTable
from symopt.embedding import Segment
from symopt.errors import AttributeValueError, ClusterError, PushFailedError, StateError, TooLateError

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"rule": "adam"},
    "norms": {"rule": "lamb", "wd": 0.01},
    "all": {"rule": "adam", "clip_global_norm": 0.5, "accumulate": 2, "ema": 0.9, "loss_scale": "dynamic"},
}


def both(cluster: Any, n_owners: int | None = None, **options: Any) -> Any:
    return cases.both(cluster, options.pop("rule"), ODD, n_owners, 3, lr=0.1, **options)


def push(table: Any, k: int) -> None:
    table.apply_gradients(np.arange(k, k + 5), np.full((5, 2), 0.5, np.float32))


@pytest.mark.parametrize("is_lossy", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_it_goes_on_from_a_checkpoint_with_other_owners(tmp_path: Path, options: str, is_lossy: bool) -> None:
    def cluster(n: int) -> Cluster:
        return Cluster(n, path=tmp_path, transport=Losing() if is_lossy else None)

    with cluster(3) as first:
        made, whole, params, single = both(first, **OPTIONS[options])
        for k in range(5):
            step(made, whole, ranks(k, 3))
        path = first.checkpoint()
        assert "dense: " in str(first.status()) and made.told() in first.status().joined
        made.step(ranks(9, 3))
    with cluster(2) as second:
        made, _, params, _ = both(second, **OPTIONS[options])
        assert made.next_step == 6 and made.n_owners == 2
        for k in range(5, 9):
            step(made, whole, ranks(k, 3))
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())
        if options == "all":
            same_bits(made.averages, whole.averages)
    saved = so.load(f"{path}/joined/dense")
    _, plain, _, weights = both(so.distributed.InProcess(), 1, **OPTIONS[options])
    for name, weight in weights.items():
        weight[...] = saved["weights"][name]
    plain.load_state_dict(saved["optimizer"])
    for k in range(5, 9):
        plain(so.distributed.tree_sum(ranks(k, 3)))
    same_bits(weights, single)


def test_it_goes_back_and_is_resharded_beside_a_table(tmp_path: Path) -> None:
    with Cluster(2, path=tmp_path) as cluster:
        table = ShardedTable(cluster, Segment(2, "adagrad", learning_rate=0.1))
        made, whole, params, single = both(cluster, rule="adam")
        with pytest.raises(TooLateError, match="has dense"):
            cluster.restore()
        step(made, whole, ranks(0, 3))
        push(table, 0)
        cluster.checkpoint()
        rows = table.lookup(np.arange(5))
        for _ in range(2):
            made.step(ranks(7, 3))
            push(table, 1)
            cluster.restore()
            assert made.updates == 1 and made.next_step == 2 and table.steps == 1
            same_bits(params, single)
            assert table.lookup(np.arange(5)).tobytes() == rows.tobytes()
        for n in (4, 1):
            cluster.reshard(n)
            assert made.n_owners == n
            step(made, whole, ranks(n, 3))
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())


def test_a_number_of_owners_that_was_given_stays(tmp_path: Path) -> None:
    with Cluster(1, path=tmp_path) as cluster:
        made, whole, params, single = both(cluster, 3, rule="adam")
        cluster.reshard(2)
        assert made.n_owners == 3
        step(made, whole, ranks(0, 3))
        same_bits(params, single)


@pytest.mark.parametrize("method", ["apply", "push", "state", "begin"])
def test_a_broken_one_goes_back(tmp_path: Path, method: str) -> None:
    """As many processes are lost one after the other as make it give up."""
    dying: list[str] = []

    def lose(name: str, called: str, count: int) -> str | None:
        return "before" if dying and called == dying[0] and name.startswith("dense-1") else None

    with Cluster(2, path=tmp_path, transport=Losing(lose)) as cluster:
        made, whole, params, single = both(cluster, rule="adam")
        step(made, whole, ranks(0, 3))
        newest = cluster.checkpoint()
        dying.append(method)
        if method == "state":
            with pytest.raises(ClusterError, match="one after the other"):
                cluster.checkpoint()
        elif method == "begin":
            with pytest.raises(ClusterError, match="one after the other"):
                cluster.restore()
            with pytest.raises(ClusterError, match="not taken over"):
                made.step(ranks(1, 3))
        else:
            with pytest.raises(PushFailedError, match="one after the other"):
                made.step(ranks(1, 3))
            same_bits(params, single)  # nothing of the step is in the user's arrays
            with pytest.raises(TooLateError, match="can't go on"):
                cluster.checkpoint()
        dying.clear()
        cluster.restore()
        assert cluster.found is not None and cluster.found.path == newest
        for k in range(1, 4):
            step(made, whole, ranks(k, 3))
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())


@pytest.mark.parametrize("seed", range(6))
def test_owners_and_shards_are_lost_around_checkpoints(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def lose(name: str, method: str, count: int) -> str | None:
        if method in ("status", "open"):
            return None
        return [None, "before", "after"][rng.choice(3, p=[0.99, 0.005, 0.005])]

    with Cluster(2, path=tmp_path, transport=Losing(lose)) as cluster:
        made, whole, params, single = both(cluster, rule="adam", ema=0.5)
        for k in range(12):
            step(made, whole, ranks(k, 3))
            if k % 4 == 1:
                cluster.checkpoint()
            if k == 6:
                cluster.reshard(3)
            same_bits(params, single)
        same_state(made.state_dict(), whole.state_dict())
    with Cluster(path=tmp_path) as cluster:
        again, _, params, _ = both(cluster, rule="adam", ema=0.5)
        assert again.updates == 10
        for k in (10, 11):
            again.step(ranks(k, 3))
        same_bits(params, single)


def test_a_checkpoint_is_made_between_steps(tmp_path: Path) -> None:
    with Cluster(2, path=tmp_path) as cluster:
        made, _, _, _ = both(cluster, rule="adam")
        made.push(1, ranks(0, 3)[1])
        with pytest.raises(TooLateError, match=r"step 1 of dense has those of ranks \[1\]"):
            cluster.checkpoint()
        with pytest.raises(TooLateError, match=r"step 1 of dense has"):
            cluster.reshard(3)
        assert made.push(1, ranks(0, 3)[1]) == "dup"


def test_names(tmp_path: Path) -> None:
    params = {"w": np.ones(3, np.float32)}
    with Cluster(1, path=tmp_path) as cluster:
        table = ShardedTable(cluster, Segment(2, "sgd", learning_rate=0.1), name="both")
        with pytest.raises(AttributeValueError, match="'both' already"):
            ShardedOptimizer(cluster, params, "sgd", lr=0.1, name="both")
        for name in ("", "a/b", ".."):
            with pytest.raises(AttributeValueError, match="name of a folder"):
                ShardedOptimizer(cluster, params, "sgd", lr=0.1, name=name)
        first = ShardedOptimizer(cluster, params, "sgd", lr=0.1)
        with pytest.raises(AttributeValueError, match="'dense' already"):
            ShardedOptimizer(cluster, params, "sgd", lr=0.1)
        with pytest.raises(AttributeValueError, match="'dense' already"):
            ShardedTable(cluster, Segment(2, "sgd", learning_rate=0.1), name="dense")
        cluster.checkpoint()
        first.step({"w": np.ones(3, np.float32)})
        first.close()
        after = params["w"].copy()
        with ShardedOptimizer(cluster, params, "adam", lr=0.1):
            assert (params["w"] == after).all()  # another one, which begins anew
        assert len(table) == 0
        assert not cluster.status().joined
    with Cluster(path=tmp_path) as cluster:
        before = params["w"].copy()
        with pytest.raises(StateError, match="rule is 'adam_update'"):
            ShardedOptimizer(cluster, params, "adam", lr=0.1)
        assert (params["w"] == before).all()
        ShardedOptimizer(cluster, params, "sgd", lr=0.1)
        assert (params["w"] == 1).all()
    assert cluster.joined.unfinished() == ""


def test_what_nobody_took_over_stays_in_checkpoints(tmp_path: Path) -> None:
    with Cluster(1, path=tmp_path) as cluster:
        made, whole, _, single = both(cluster, rule="adam")
        step(made, whole, ranks(0, 3))
        cluster.checkpoint()
    for drop in ([], ["dense"]):
        with Cluster(path=tmp_path) as cluster:
            with pytest.raises(AttributeValueError, match="'dense' already"):
                ShardedTable(cluster, Segment(2, "sgd", learning_rate=0.1), name="dense")
            cluster.checkpoint()
            made, _, params, _ = both(cluster, rule="adam")
            assert made.updates == 1
            same_bits(params, single)
        with Cluster(path=tmp_path) as cluster:
            cluster.checkpoint(drop=drop)
    with Cluster(path=tmp_path) as cluster:
        assert both(cluster, rule="adam")[0].updates == 0
