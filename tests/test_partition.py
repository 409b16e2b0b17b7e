"""Which shard owns an id: exactly one, always the same, evenly, whatever the ids and the number of shards."""

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.distributed.partition import N_BUCKETS, Partition, bucket_of, hottest
from symopt.embedding import Segment, Split, Table
from symopt.errors import AttributeValueError, FormatError
from symopt.idmap import IdMap
from symopt.splitmix import word

Ids = npt.NDArray[np.int64]
LEAST, MOST = -(2**63), 2**63 - 1
IDS = st.one_of(
    st.integers(LEAST, MOST),
    st.integers(0, 10**12),
    st.integers(-20, 20),
    st.sampled_from([LEAST, LEAST + 1, -1, 0, MOST, 2**31, 2**32, 10**12]),
)
SHARDS = st.one_of(st.integers(1, 40), st.sampled_from([64, 1000, 1024, 65_535, N_BUCKETS]))
MANY = 200_000


def spread(counts: Any, partition: Partition) -> npt.NDArray[np.float64]:
    """The load of each shard, when buckets have these loads (65536,)."""
    loads = [
        sum(counts[bucket] for bucket in partition.buckets(k).tolist()) for k in range(partition.n_shards)
    ]
    return np.array(loads, np.float64)


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    n = draw(SHARDS)
    pins = st.dictionaries(st.integers(0, N_BUCKETS - 1), st.integers(0, n - 1), max_size=5)
    return Partition(n, draw(pins), draw(st.integers(0, 9)))


def structured() -> dict[str, Ids]:
    """Ids as people number things: in order, with a kind in the lower or the upper bits, negative, at both ends."""
    k = np.arange(MANY, dtype=np.int64)
    rng = np.random.default_rng(0)
    return {
        "in order": k,
        "in order, high": 10**12 - k,
        "negative": -k - 1,
        "all even": 2 * k,
        "multiples of 65536": k << 16,
        "upper bits": k << 46,
        "kind below": (k << 8) | 3,
        "kind above": (k % 7 << 54) | k,
        "drawn up to 10**12": rng.choice(10**12, MANY, shuffle=False),
        "drawn of all": rng.integers(LEAST, MOST, MANY, endpoint=True),
        "ends": np.concatenate([LEAST + k[: MANY // 2], MOST - k[: MANY // 2]]),
    }


STRUCTURED = structured()


# ---- a function


@settings(deadline=None)
@given(ids=st.lists(IDS, max_size=30), partition=partitions())
def test_every_id_has_exactly_one_owner(ids: list[int], partition: Partition) -> None:
    owners = partition.owner(ids)
    assert owners.dtype == np.int64 and all(0 <= k < partition.n_shards for k in owners)
    assert owners.tolist() == [int(partition.owner(i)) for i in ids]  # alone as among others
    for shard in {*owners.tolist(), 0}:
        assert partition.owns(shard)(np.array(ids, np.int64)).tolist() == (owners == shard).tolist()


@settings(deadline=None)
@given(ids=st.lists(IDS, max_size=30), partition=partitions())
def test_owners_are_those_of_the_buckets(ids: list[int], partition: Partition) -> None:
    for i, owner in zip(ids, partition.owner(ids).tolist()):
        bucket = int(bucket_of(i))
        assert bucket == word(i) % N_BUCKETS  # as the checkpoints say
        assert bucket in partition.buckets(owner)
        assert owner == partition.pins.get(bucket, bucket * partition.n_shards // N_BUCKETS)


@settings(deadline=None)
@given(partition=partitions())
def test_every_bucket_is_in_one_shard(partition: Partition) -> None:
    some = partition.n_shards if partition.n_shards <= 40 else 3
    own = [partition.buckets(k) for k in range(some)]
    joined = np.concatenate(own)
    assert len(np.unique(joined)) == len(joined)
    if some == partition.n_shards:
        assert np.array_equal(np.sort(joined), np.arange(N_BUCKETS))
    sizes = spread(np.ones(N_BUCKETS), partition)
    assert sizes.sum() == N_BUCKETS and [len(each) for each in own] == sizes[:some].tolist()


def test_buckets_and_owners_never_change() -> None:
    """Rows in checkpoints lie by them."""
    published = {
        0: 0xE220A8397B1DCDAF,
        1234567: 6457827717110365317,
    }  # splitmix64's first number for these seeds
    ids = [*published, 1, -1, 10**12, LEAST, MOST]
    assert bucket_of(ids).tolist() == [
        *(x % N_BUCKETS for x in published.values()),
        23745,
        11296,
        2424,
        62427,
        40615,
    ]
    assert Partition(1000).owner(ids).tolist() == [803, 986, 362, 172, 36, 952, 619]


@settings(deadline=None)
@given(ids=st.lists(IDS, max_size=40), partition=partitions())
def test_split_and_gather_are_inverse(ids: list[int], partition: Partition) -> None:
    given_ids = np.array(ids, np.int64)
    split, owners = partition.split(given_ids), partition.owner(ids)
    assert (
        isinstance(split, Split) and len(split.sizes) == partition.n_shards and split.sizes.sum() == len(ids)
    )
    for k in np.unique(owners):
        assert split.ids[split.shard(k)].tolist() == given_ids[owners == k].tolist()  # in the order given
    rows = np.arange(2 * len(ids)).reshape(-1, 2)
    assert np.array_equal(split.gather(split.scatter(rows)), rows)
    assert np.array_equal(split.scatter(split.gather(rows)), rows)
    assert split.gather(split.ids).tolist() == ids


# ---- other maps


@settings(deadline=None)
@given(ids=st.lists(IDS, min_size=1, max_size=30), n=SHARDS, m=SHARDS)
def test_resizing_asks_for_no_more_than_it_must(ids: list[int], n: int, m: int) -> None:
    """Owners follow the order of buckets, so a new shard's rows come from few old ones, which follow each other."""
    old, new = Partition(n), Partition(n).resized(m)
    assert new == Partition(m) and new.version == 1
    ordered = np.array(ids)[np.argsort(bucket_of(ids), kind="stable")]
    for owners in (old.owner(ordered), new.owner(ordered)):
        assert (np.diff(owners) >= 0).all()
    k = int(new.owner(ids[0]))
    sources = np.unique(old._owners[new.buckets(k)])
    assert len(sources) <= -(-n // m) + 1 and (np.diff(sources) == 1).all()


@settings(deadline=None)
@given(ids=st.lists(IDS, max_size=30), partition=partitions(), more=st.integers(2, 9))
def test_more_shards_by_a_whole_number_only_cut_shards(
    ids: list[int], partition: Partition, more: int
) -> None:
    n = partition.n_shards
    if n * more <= N_BUCKETS:
        finer = Partition(n * more)
        assert (finer.owner(ids) // more).tolist() == Partition(n).owner(ids).tolist()


@settings(deadline=None)
@given(ids=st.lists(IDS, max_size=30), partition=partitions(), data=st.data())
def test_pins_move_their_buckets_only(ids: list[int], partition: Partition, data: st.DataObject) -> None:
    shard = data.draw(st.integers(0, partition.n_shards - 1))
    hot = data.draw(st.sampled_from(ids)) if ids else 0
    pinned = partition.pinned({int(bucket_of(hot)): shard})
    assert pinned.version == partition.version + 1 and int(pinned.owner(hot)) == shard
    for i, before, after in zip(ids, partition.owner(ids).tolist(), pinned.owner(ids).tolist()):
        assert after == (shard if bucket_of(i) == bucket_of(hot) else before)
    smaller = pinned.resized(max(1, partition.n_shards // 2))
    assert smaller.pins == {b: k for b, k in pinned.pins.items() if k < smaller.n_shards}


@settings(deadline=None)
@given(partition=partitions())
def test_from_dict_as_dict(partition: Partition) -> None:
    said = json.loads(json.dumps(partition.as_dict()))
    again = Partition.from_dict(said)
    assert again == partition and hash(again) == hash(partition)
    assert (again.version, again.pins, again.as_dict()) == (partition.version, partition.pins, said)


@pytest.mark.parametrize("name", ["format", "hash", "buckets"])
def test_another_map_is_refused(name: str) -> None:
    said = Partition(3).as_dict()
    with pytest.raises(FormatError, match=name):
        Partition.from_dict(said | {name: "another"})
    with pytest.raises(FormatError, match=name):
        Partition.from_dict({k: v for k, v in said.items() if k != name})


@pytest.mark.parametrize("name", ["shards", "pins", "version"])
@pytest.mark.parametrize("value", [None, -1, "x", {"a": 0}, {"0": 9}, {"0": 0.5}])
def test_what_is_no_partition_is_refused(name: str, value: object) -> None:
    for said in (
        Partition(3).as_dict() | {name: value},
        {k: v for k, v in Partition(3).as_dict().items() if k != name},
    ):
        with pytest.raises(FormatError, match="a partition: "):
            Partition.from_dict(said)


def test_maps_that_say_the_same_are_equal() -> None:
    assert Partition(4, {0: 0}) == Partition(4) and hash(Partition(4, {0: 0})) == hash(Partition(4))
    assert Partition(2, dict.fromkeys(range(N_BUCKETS), 0)) != Partition(1)
    assert Partition(2) != Partition(3) and Partition(2) != 2


@pytest.mark.parametrize(("n", "pins"), [(0, {}), (N_BUCKETS + 1, {}), (2.5, {}), (True, {}), (2, {0: 2}),
                                         (2, {N_BUCKETS: 0}), (2, {-1: 0}), (2, {5: -1}), (2, {5: 0.5})])  # fmt: skip
def test_what_is_no_map(n: int, pins: dict[int, Any]) -> None:
    with pytest.raises(AttributeValueError):
        Partition(n, pins)


# ---- evenly


@pytest.mark.parametrize("name", STRUCTURED)
@pytest.mark.parametrize("n", [2, 3, 64, 1000])
def test_loads_are_those_of_chance(name: str, n: int) -> None:
    """Within six standard deviations of what each shard's buckets would get if ids fell anywhere."""
    ids, partition = STRUCTURED[name], Partition(n)
    loads = np.bincount(partition.owner(ids), minlength=n)
    share = spread(np.ones(N_BUCKETS), partition) / N_BUCKETS
    expected = len(ids) * share
    assert np.abs((loads - expected) / np.sqrt(expected * (1 - share))).max() < 6
    chi_square = ((loads - expected) ** 2 / expected).sum()
    assert abs(chi_square - (n - 1)) < 6 * np.sqrt(2 * (n - 1)) + 2


def test_shards_differ_by_a_bucket_at_most() -> None:
    for n in (1, 2, 3, 7, 1000, 1311, 65_535, N_BUCKETS):
        sizes = spread(np.ones(N_BUCKETS), Partition(n))
        assert sizes.max() - sizes.min() <= 1 and sizes.max() == -(-N_BUCKETS // n)


def longest_run(slots: IdMap) -> int:
    """Blocks of a map that are full, one behind the other: what a search for an id walks through at most."""
    blocks = slots._pairs._table.blocks["used"]  # type: ignore[union-attr]
    runs = Counter(np.cumsum(blocks < 5)[blocks == 5].tolist())
    return max(runs.values(), default=0)


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("name", ["in order", "multiples of 65536", "kind above", "drawn up to 10**12"])
def test_ids_of_one_shard_spread_in_its_id_map(name: str, seed: int) -> None:
    """The map's hash knows nothing of the partition's: ids of a shard are found as fast as any."""
    pytest.importorskip("llvmlite")
    base = STRUCTURED[name]
    step = int(base[1] - base[0]) if name != "drawn up to 10**12" else 0
    ids = (
        np.arange(1 << 21, dtype=np.int64) * step
        if step
        else np.random.default_rng(1).integers(0, 10**12, 1 << 21)
    )
    for n, shard in ((64, 0), (64, 63), (100, 37)):
        own = ids[Partition(n).owner(ids) == shard]
        anywhere = np.random.default_rng(2).integers(LEAST, MOST, len(own), endpoint=True)
        maps = [IdMap(len(own), seed=seed, engine="native") for _ in range(2)]
        for slots, some in zip(maps, (own, anywhere)):
            slots.get_or_insert(some)
        assert abs(maps[0].load - maps[1].load) < 0.02
        assert longest_run(maps[0]) <= 2 * longest_run(maps[1]) + 2


def test_hottest_and_pinned_even_out_what_repeats() -> None:
    ids = np.concatenate([np.full(5000, 42), np.arange(5000)])
    found = hottest(ids, 2)
    (first, times), (_, less) = found.items()
    assert first == int(bucket_of(42)) and 5000 <= times < 5010 and less < 10
    assert [a >= b for a, b in pairwise(found.values())] == [True]
    partition = Partition(4)
    counts = np.bincount(bucket_of(ids), minlength=N_BUCKETS)
    busiest = int(partition.owner(42))
    pins = {int(b): (busiest + 1) % 4 for b in partition.buckets(busiest) if b != first}
    loads = spread(counts, partition.pinned(pins))
    assert loads.sum() == len(ids) and loads[busiest] == times


@pytest.mark.parametrize("n", [1, 3])
def test_tables_that_share_rows_out_have_what_one_has(n: int) -> None:
    """Ids up to 10**12 and beyond; rows are where their owners are, and are those of one table, bit for bit."""
    rng = np.random.default_rng(3)
    ids = np.concatenate([rng.integers(0, 10**12, 300), [LEAST, MOST, -1, 0]])
    grads = rng.standard_normal((len(ids), 4)).astype(np.float32)
    whole, *shards = (Table(Segment(4, "adagrad", learning_rate=0.1)) for _ in range(n + 1))
    whole.apply_gradients(ids, grads)
    split = Partition(n).split(ids)
    sent = split.scatter(grads)
    for k, table in enumerate(shards):
        table.apply_gradients(split.ids[split.shard(k)], sent[split.shard(k)])
    found = np.concatenate([table.lookup(split.ids[split.shard(k)]) for k, table in enumerate(shards)])
    assert split.gather(found).tobytes() == whole.lookup(ids).tobytes()
    assert sum(len(table) for table in shards) == len(whole)
