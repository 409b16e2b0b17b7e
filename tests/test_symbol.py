"""Symbols: outputs, groups, attributes, inference, text and copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from work import calls

from symopt import sym
from symopt.errors import (
    UnknownArgumentError,
)
from symopt.names import NameManager

W, G, M, V, S = (sym.var(name) for name in ("w", "g", "m", "v", "s"))


def adam(**given: Any) -> sym.Symbol:
    return sym.adam_update(W, G, M, V, **{"lr": 0.1, "name": "fc1", **given})


def test_group_and_indexing() -> None:
    both = sym.Group([adam(), W + G, M])
    names = both.list_outputs()
    assert both.name is None
    assert [s.list_outputs()[0] for s in both] == names
    assert both[0].name == both[-3].name == both["fc1_output"].name == "fc1"
    assert both[1:].list_outputs() == names[1:]
    assert repr(both[::2]) == "<Symbol group [fc1, m]>"
    assert sym.Group([both, W]).list_outputs() == [*names, "w"]


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        (1, IndexError),
        (-2, IndexError),
        ("fc1_outptu", ValueError),
        (1.0, TypeError),
        (slice(5, 6), TypeError),
    ],
    ids=str,
)
def test_wrong_index(index: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        adam()[index]


@pytest.mark.parametrize("symbols", [[], W, [W, 1], None], ids=["empty", "symbol", "number", "none"])
def test_group_refuses(symbols: Any) -> None:
    with pytest.raises(TypeError):
        sym.Group(symbols)


def test_outputs_of_one_name_cannot_be_chosen_by_it() -> None:
    with pytest.raises(ValueError, match="several"):
        sym.Group([adam(), adam()])["fc1_output"]


def test_internals_and_children() -> None:
    step = sym.sqrt(adam(), name="r")
    internals = step.get_internals()
    assert internals.list_outputs() == ["w", "g", "m", "v", "fc1_output", "r_output"]
    assert internals["fc1_output"].list_auxiliary_states() == ["m", "v"]
    children = step.get_children()
    assert children is not None
    assert children.list_outputs() == ["fc1_output"]
    assert W.get_children() is None


def test_state_is_the_new_value_and_can_be_chained() -> None:
    first = sym.sgd_mom_update(W, G, M, lr=0.1, name="a")
    second = sym.sgd_mom_update(V, G, first.state("mom"), lr=0.1, name="b")
    assert first.state("mom").list_outputs() == ["a_mom"]
    assert repr(first.state("mom")) == "<Symbol a.state('mom')>"
    assert second.list_inputs() == ["v", "g", "w", "m"]
    assert second.list_auxiliary_states() == ["m"]
    assert "arg[2]=m(0) version=1" in second.debug_str()


def test_a_variable_that_is_a_state_anywhere_is_auxiliary() -> None:
    both = sym.Group([M + 1, adam()])
    assert both.list_auxiliary_states() == ["m", "v"]
    assert both.list_arguments() == ["w", "g"]


def test_attributes_of_a_graph() -> None:
    weight = sym.var("w", lr_mult=2.0)
    step = sym.sgd_update(weight, G, lr=0.1, name="u", attr={"wd_mult": "3", "mood": "calm"})
    assert step.attr_dict() == {
        "w": {"__lr_mult__": "2.0", "lr_mult": "2.0"},
        "u": {"lr": "0.1", "__wd_mult__": "3", "wd_mult": "3", "__mood__": "calm"},
    }
    assert (step.attr("lr"), step.attr("mood"), step.attr("nothing")) == ("0.1", "calm", None)
    assert step.list_attr(recursive=True)["w_lr_mult"] == "2.0"


def test_set_attr_replaces_this_symbols_node_only() -> None:
    step = adam()
    after = sym.sqrt(step)
    step._set_attr(__mood__="calm", wd="0.5")
    assert step.list_attr() == {"lr": "0.1", "__mood__": "calm", "wd": "0.5"}
    assert step._outputs[0].attrs["wd"] == 0.5
    assert after.attr_dict()["fc1"] == {"lr": "0.1"}
    wrong: dict[str, Any] = {"__mood__": 1}
    with pytest.raises(ValueError, match="string"):
        step._set_attr(**wrong)


def test_shapes_are_inferred_both_ways() -> None:
    assert adam(lr=sym.var("lr", shape=())).infer_shape(g=(4, 3)) == (
        [(4, 3), (4, 3), ()],
        [(4, 3)],
        [(4, 3), (4, 3)],
    )
    assert adam().infer_shape((4, 3))[1] == [(4, 3)]


def test_incomplete_shapes_warn_or_are_partial() -> None:
    with pytest.warns(UserWarning, match="w, g"):
        assert (W + G).infer_shape() == (None, None, None)
    assert (W + G).infer_shape_partial() == ([None, None], [None], [])


@pytest.mark.parametrize("method", ["infer_shape", "infer_type", "infer_storage_type"])
def test_inference_refuses_unknown_and_mixed_names(method: str) -> None:
    with pytest.raises(UnknownArgumentError, match="grad"):
        getattr(adam(), method)(grad=None)
    with pytest.raises(ValueError, match="not both"):
        getattr(adam(), method)("default", w="default")


def test_types_are_numpys_and_storage_is_named() -> None:
    assert adam().infer_type(w=np.float64) == ([np.float64] * 2, [np.float64], [np.float64] * 2)
    with pytest.warns(UserWarning, match="type"):
        assert adam().infer_type() == (None, None, None)
    arguments, _, _ = adam().infer_storage_type(g="row_sparse")
    assert arguments == ["default", "row_sparse"]


def test_text() -> None:
    step = adam(lr=S, wd=0.5, out=W)
    assert str(step) == "fc1 = adam_update(w, g, m, v, lr=s, wd=0.5, out=w)"
    assert repr(step) == "<Symbol fc1>"
    assert str(step.state("mean")).startswith("fc1.state('mean') = adam_update(")
    assert str(sym.var("x", shape=(2,))) == "x = var('x', __shape__='(2,)')"
    assert str(sym.Group([W] * 12)).endswith("\n... and 2 more outputs")


def test_debug_str_has_mxnets_form() -> None:
    assert W.debug_str() == "Variable:w\n"
    assert sym.sgd_mom_update(W, G, M, lr=0.1, name="u").debug_str() == (
        "Symbol Outputs:\n\toutput[0]=u(0)\nVariable:w\nVariable:g\nVariable:m\n--------------------\n"
        "Op:sgd_mom_update, Name=u\nInputs:\n\targ[0]=w(0) version=0\n\targ[1]=g(0) version=0\n"
        "\targ[2]=m(0) version=0\nAttrs:\n\tlr=0.1\n"
    )


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_are_equal_graphs(duplicate: Callable[[Any], Any]) -> None:
    step = sym.Group([adam(out=W), adam(name="fc2").state("mean")])
    twin = duplicate(step)
    assert twin is not step
    assert twin.debug_str() == step.debug_str()


def test_deep_graphs_need_no_recursion() -> None:
    with NameManager():
        x = W
        for _ in range(20_000):
            x = x + 1
    assert x.list_arguments() == ["w"]
    assert x(w=S).list_arguments() == ["s"]
    assert x.debug_str().count("Op:") == 20_000


def test_a_node_is_little_work() -> None:
    def make() -> None:
        variables = [sym.var(name) for name in "wgmv"]
        sym.adam_update(*variables, lr=0.1, wd=0.01, clip_gradient=1.0)

    make()
    assert calls(make) < 300
