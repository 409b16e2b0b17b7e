"""What tables, segments and bags say to a call that is wrong: an error of ours, that names what was given."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symopt.embedding import Admission, Bags, Entries, RandomUniform, Segment, Table, Tables, load_serving
from symopt.embedding.entry import FeatureFactory, FeatureSlotConfig
from symopt.embedding.touched import TouchedSet
from symopt.errors import AttributeValueError, DTypeError, ShapeError, StateError, SymoptError


def sgd(**attrs: Any) -> Segment:
    return Segment(2, "sgd", **{"learning_rate": 0.1, **attrs})


def table(**options: Any) -> Table:
    made = Table(sgd(), name="users", **options)
    made.assign([1, 2], [[1.0, 2.0], [3.0, 5.0]])
    return made


Wrong = tuple[str, Callable[[], object], type[SymoptError], str]
WRONG: list[Wrong] = [
    ("words as ids", lambda: table().lookup(["a"]), DTypeError, "got 'a'; words"),
    ("an id of 65 bits", lambda: table().lookup([2**64]), DTypeError, f"got {2**64};"),
    ("no ids", lambda: table().lookup(None), DTypeError, "got None;"),  # type: ignore[arg-type]
    ("lists of ids", lambda: table().lookup([[1], [2, 3]]), ShapeError, "Bags.from_lists"),
    ("lists in bags", lambda: Bags([[1], [2, 3]], [0, 2]), ShapeError, "Bags.from_lists"),
    ("max_rows=1e6", lambda: table(max_rows=1e6), AttributeValueError, "users: max_rows = 1000000.0"),
    (
        "admission=0.5",
        lambda: table(admission=0.5),
        AttributeValueError,
        r"users: admission .* got 0.5",
    ),
    ("expiry='30d'", lambda: table(expiry="30d"), AttributeValueError, "users: expiry .* got '30d'"),
    ("policy=3", lambda: table(max_rows=2, policy=3), AttributeValueError, "users: policy .* got 3"),
    ("seed=1.5", lambda: table(seed=1.5), AttributeValueError, "users: seed .* got 1.5"),
    ("rule first", lambda: Segment("adagrad", 8), AttributeValueError, "dim .* got 'adagrad'"),  # type: ignore[arg-type]
    ("a rate of words", lambda: sgd(learning_rate="0.1"), AttributeValueError, "learning_rate .* got '0.1'"),
    (
        "a rate of words in a step",
        lambda: table().apply_gradients([1], np.ones((1, 2)), learning_rate="x"),  # type: ignore[arg-type]
        AttributeValueError,
        "users.apply_gradients: learning_rate .* got 'x'",
    ),
    ("tables in a list", lambda: Tables([table()]), AttributeValueError, "a dict of Tables"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[0].replace(" ", "-"))
def test_wrong_calls_are_explained(wrong: Wrong) -> None:
    _, call, error, said = wrong
    with pytest.raises(error, match=said):
        call()


def test_a_column_that_policies_do_not_have_is_named() -> None:
    with pytest.raises(KeyError, match=r"'age'.* id, timestamp, updates, weight"):
        table().evict(where=lambda rows: rows["age"] > 1)


def test_numbers_of_numpy_are_numbers() -> None:
    made = Table(Segment(np.int64(2), "sgd", learning_rate=0.1), admission=np.int64(1), expiry=np.int32(3))  # type: ignore[arg-type]
    assert made.dim == 2 and made.admission is not None and made.admission.threshold == 1
    assert made.expiry is not None and made.expiry.default_days == 3


@pytest.mark.parametrize(
    "attrs", [{"wd": 0.01}, {"wd": lambda done: 0.01}, {}], ids=["number", "schedule", "default"]
)
def test_weights_do_not_decay_twice(attrs: dict[str, Any]) -> None:
    """torch's AdamW decays by its own default."""
    with pytest.raises(AttributeValueError, match=r"weight_decay=0.1 .* and wd=.* both decay"):
        Segment(4, "torch_adamw", learning_rate=0.1, weight_decay=0.1, **attrs)
    Segment(4, "torch_adamw", learning_rate=0.1, weight_decay=0.1, wd=0.0)
    Segment(4, "sgd", learning_rate=0.1, weight_decay=0.1)


def test_bags_are_served_as_they_are_trained(tmp_path: Any) -> None:
    trained = Table(
        Segment(3, "sgd", learning_rate=0.1, initializer=RandomUniform(-1, 1)), missing="initialize"
    )
    trained.lookup(np.arange(10))
    trained.export(tmp_path / "serving")
    served = load_serving(tmp_path / "serving")
    lists = [[1, 2, 77, 1], [], [5], [9, 8, 7]]
    for combiner, more in (("sum", {}), ("mean", {}), ("sqrtn", {}), ("first_n", {"n": 2})):
        bags = Bags.from_lists(lists, combiner, **more)
        expected, own_hits = trained.lookup(bags, missing="zeros", with_hits=True)
        found, hits = served.lookup(bags, with_hits=True)
        assert np.array_equal(found, expected), combiner
        assert np.array_equal(hits, own_hits)


def test_what_prints_is_short_and_says_what_it_is() -> None:
    entries = table().lookup_entry(np.arange(1000))
    assert isinstance(entries, Entries)
    assert repr(entries) == "<Entries of 1000 ids: 2 rows of 2 columns, states: none>"
    assert repr(table(admission=Admission(0), max_rows=5)).endswith("filter='exact'), max_rows=5>")
    touched = TouchedSet(2)
    touched.add(np.array([4]))
    assert repr(touched) == "<TouchedSet: 1 ids, of at most 2>"
    touched.add(np.array([5, 6]))
    assert "too many" in repr(touched)
    factory = FeatureFactory()
    factory.create_feature_slot(FeatureSlotConfig(slot_id=3)).add_feature_slice(16)
    assert re.fullmatch("<FeatureFactory with columns of 3: 16>", repr(factory))


def test_a_folder_of_another_table_is_told_column_by_column(tmp_path: Any) -> None:
    vector = Segment(8, "adam", learning_rate=0.1)
    Table([sgd(), vector], path=tmp_path / "rows").close()
    for other, said in (
        (
            Segment(4, "adam", learning_rate=0.1),
            "1/mean: ['float32', 4] here, the table on disk has ['float32', 8]",
        ),
        (
            Segment(8, "sgd", learning_rate=0.1),
            "1/mean: none here, the table on disk has ['float32', 8]",
        ),
    ):
        with pytest.raises(StateError) as caught:
            Table([sgd(), other], path=tmp_path / "rows")
        assert (
            said in str(caught.value)
            and "0/weight" not in str(caught.value)
            and "'id'" not in str(caught.value)
        )
    with pytest.raises(StateError, match="seed: 5 here, the table on disk has 0"):
        Table([sgd(), vector], path=tmp_path / "rows", seed=5)
