"""Owners of ids: split, sent, brought back; tables shared out have what one table has; layouts that are no layouts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symopt as so
from symopt.embedding import RandomUniform, Segment, Split, Table, Tables, shard_of, split_by_shard


def adagrad(dim: int = 3, **more: Any) -> Table:
    segment = Segment(dim, "adagrad", learning_rate=0.1, initializer=RandomUniform(-0.5, 0.5))
    return Table(segment, **more)


def random_batch(rng: np.random.Generator, n: int, dim: int) -> tuple[Any, Any]:
    return rng.integers(-20, 20, n), rng.normal(size=(n, dim)).astype(np.float32)


@given(ids=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), n=st.integers(1, 5))
def test_split_and_back(ids: list[int], n: int) -> None:
    split = split_by_shard(ids, n)
    assert isinstance(split, Split) and split.sizes.sum() == len(ids)
    assert shard_of(ids, n).tolist() == [i % n for i in ids]
    for k in range(n):
        assert split.ids[split.shard(k)].tolist() == [i for i in ids if i % n == k]
    assert split.gather(split.ids).tolist() == ids
    assert split.scatter(np.array(ids, np.int64)).tolist() == split.ids.tolist()


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_shards_have_what_one_table_has(n_shards: int) -> None:
    """Ids are sent to their owners, each once; rows come back, gradients go; as if there were one owner."""
    dims, rng = {"item": 3, "user": 2}, np.random.default_rng(3)
    whole = Tables({n: adagrad(d, seed=7) for n, d in dims.items()})
    owners = [Tables({n: adagrad(d, seed=7) for n, d in dims.items()}) for _ in range(n_shards)]
    for step in range(4):
        batch = {n: random_batch(rng, 25, d) for n, d in dims.items()}
        ids = {n: i.reshape(5, 5) for n, (i, _) in batch.items()}
        grads = {n: g.reshape(5, 5, -1) for n, (_, g) in batch.items()}
        parcel = whole.parcel(ids, n_shards)
        flat, sizes = parcel.sums(grads), parcel.sizes.reshape(n_shards, 2)
        layout = whole.fused_lookup(parcel.ids, parcel.sizes, n_shards)
        for k, owner in enumerate(owners):
            cells = slice(k * 2, k * 2 + 3)
            id_at, at = layout.id_offsets[cells], layout.emb_offsets[cells]
            own = (parcel.ids[id_at[0] : id_at[-1]], sizes[k])
            owner.fused_apply_gradients(*own, flat[at[0] : at[-1]], 1, step, 9)
        whole.apply_gradients(batch, step, 9)
        parts = [
            o.fused_lookup(parcel.ids[parcel_part(layout, k)], sizes[k]).embeddings
            for k, o in enumerate(owners)
        ]
        found, wanted = parcel.gather(np.concatenate(parts)), whole.lookup(ids)
        assert all(np.array_equal(found[n], wanted[n]) for n in dims)


def parcel_part(layout: Any, shard: int) -> slice:
    return slice(layout.id_offsets[shard * 2], layout.id_offsets[shard * 2 + 2])


FUSED_BAD: dict[str, tuple[Any, ...]] = {
    "too few sizes": (([1], [1]), so.errors.ShapeError, "2 tables and 1 shards need 2 sizes"),
    "a size below 0": (([1], [2, -1]), so.errors.AttributeValueError, "at least 0"),
    "too few ids": (([1], [1, 1]), so.errors.ShapeError, "2 ids in one vector"),
    "no shards": (([1], [1, 0], 0), so.errors.AttributeValueError, "number of shards"),
}


@pytest.mark.parametrize("case", FUSED_BAD)
def test_bad_layouts(case: str) -> None:
    arguments, error, said = FUSED_BAD[case]
    with pytest.raises(error, match=said):
        Tables({"a": adagrad(), "b": adagrad()}).fused_lookup(*arguments)


def test_one_vector_has_one_dtype() -> None:
    double = Table(Segment(2, "sgd", learning_rate=1.0, dtype="float64"))
    with pytest.raises(so.errors.DTypeError, match="float64"):
        Tables({"a": adagrad(), "b": double}).fused_lookup([1, 1], [1, 1])
