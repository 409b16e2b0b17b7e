"""Names and attributes that scopes give to nodes under construction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from symopt import sym
from symopt.errors import AttributeValueError
from symopt.names import AttrScope, NameManager, Prefix

X, Y = sym.var("x"), sym.var("y")

HINTS = [
    (lambda: sym.adam_update(lr=1), "adam_update0"),
    (lambda: sym.contrib.group_adagrad_update(lr=1), "group_adagrad_update0"),
    (lambda: sym._contrib_group_adagrad_update(lr=1), "group_adagrad_update0"),
    (lambda: sym.sparse.adagrad_update(lr=1), "adagrad_update0"),
    (lambda: sym.Cast(X, dtype="float16"), "cast0"),
    (lambda: X.astype("float16"), "cast0"),
    (lambda: sym.broadcast_add(X, Y), "broadcast_add0"),
    (lambda: sym._plus_scalar(X, scalar=1), "_plus_scalar0"),
    (lambda: X + Y, "_plus0"),
    (lambda: X - Y, "_minus0"),
    (lambda: X * 2, "_mulscalar0"),
    (lambda: -X, "_mulscalar0"),
    (lambda: 1 - X, "_rminusscalar0"),
    (lambda: X**Y, "_power0"),
    (lambda: X == Y, "_equal0"),
    (lambda: X == 1, "_equal_scalar0"),
    (lambda: abs(X), "abs0"),
    (lambda: sym.maximum(X, 1), "_maximumscalar0"),
    (lambda: X.clip(0, 1), "clip0"),
]


@pytest.mark.parametrize(("make", "name"), HINTS, ids=[f"{k}-{name}" for k, (_, name) in enumerate(HINTS)])
def test_first_name_is_mxnets_hint_and_zero(make: Callable[[], Any], name: str) -> None:
    with NameManager():
        assert make().name == name


def test_counters_count_per_hint_and_an_explicit_name_does_not_count() -> None:
    with NameManager():
        names = [sym.sqrt(X).name, sym.sqrt(X, name="mine").name, sym.square(X).name, sym.sqrt(X).name]
    assert names == ["sqrt0", "mine", "square0", "sqrt1"]


def test_nested_managers_count_for_themselves() -> None:
    with NameManager():
        assert sym.sqrt(X).name == "sqrt0"
        with NameManager():
            assert sym.sqrt(X).name == "sqrt0"
        assert sym.sqrt(X).name == "sqrt1"


def test_prefix_is_for_ops_also_with_explicit_names_but_not_for_variables() -> None:
    with Prefix("net_"):
        step = sym.sgd_update(sym.var("w"), lr=0.1, name="fc1")
        assert sym.sqrt(X).name == "net_sqrt0"
    assert step.name == "net_fc1"
    assert step.list_arguments() == ["w", "net_fc1_grad"]


def test_a_manager_is_left_when_the_block_fails() -> None:
    with NameManager():
        with pytest.raises(KeyError), Prefix("p_"), AttrScope(__a__="1"):
            raise KeyError
        assert sym.sqrt(X).name == "sqrt0"
        assert sym.var("z").list_attr() == {}


def test_attr_scope_merges_inner_over_outer_and_explicit_over_both() -> None:
    with AttrScope(__a__="outer", __b__="outer", __c__="outer"), AttrScope(__b__="inner", __c__="inner"):
        variable = sym.var("w", attr={"__c__": "own"})
        node = sym.sqrt(X, attr={"__c__": "own"})
    expected = {"__a__": "outer", "__b__": "inner", "__c__": "own"}
    assert variable.list_attr() == expected
    assert node.list_attr() == expected
    assert sym.var("v").list_attr() == {}


def test_entering_a_scope_again_does_not_keep_what_it_was_nested_in() -> None:
    inner = AttrScope(__b__="2")
    with AttrScope(__a__="1"), inner:
        pass
    with inner:
        assert sym.var("w").list_attr() == {"__b__": "2"}


def test_variables_made_for_missing_inputs_have_the_attributes_of_their_op() -> None:
    step = sym.sgd_update(lr=0.1, name="fc1", attr={"__mood__": "calm"})
    assert step.attr_dict()["fc1_weight"] == {"__mood__": "calm"}


@pytest.mark.parametrize("wrong", [{"__a__": 1}, {"lr_mult": 0.5}, {"__out__": "w"}])
def test_attributes_must_be_strings_and_not_symopts_own(wrong: dict[str, Any]) -> None:
    for make in (
        lambda: AttrScope(**wrong),
        lambda: sym.var("w", attr=wrong),
        lambda: sym.sqrt(X, attr=wrong),
    ):
        with pytest.raises(AttributeValueError, match=next(iter(wrong))):
            make()


def test_scopes_belong_to_the_thread_that_entered_them() -> None:
    seen = []

    def other() -> None:
        seen.extend([sym.sqrt(X).name, sym.var("w").list_attr()])

    with Prefix("p_"), AttrScope(__a__="1"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["sqrt0", {}]
