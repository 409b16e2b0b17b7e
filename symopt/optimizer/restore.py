"""The state of an Updater by parameter name: given out, compared, taken over."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import NARROW
from ..errors import RuleError, SymoptError
from ..given import Given
from ..state import Commit, Differences, nothing, plan_arrays
from .arriving import copied, in_order, stand_in
from .cohort import Cohort, share
from .optimizer import Optimizer
from .plan import dtype_of, leaves, named_states

if TYPE_CHECKING:
    from .updater import Updater

PLAIN = (bool, int, float, str, type(None))


def described(updater: Updater, version: int) -> dict[str, Any]:
    """What `Updater.state_dict` gives."""
    optimizer = updater.optimizer
    parameters: dict[str, Any] = {}
    for index, state in updater.states.items():
        weight = updater._weights.get(index)
        entry = {
            "index": index,
            "updates": optimizer._index_update_count.get(index, optimizer.begin_num_update),
            "shape": None if weight is None else list(weight.shape),
            "dtype": None if weight is None else dtype_of(weight),
        }
        # Nobody knows the names in MXNet's states before their weight comes.
        known = {"state": state} if weight is None else {"states": named(optimizer, index, weight, state)}
        name = name_of(optimizer, index)
        parameters[name if name not in parameters else f"{name}#{len(parameters)}"] = {**entry, **known}
    found = {"format": version, "optimizer": type(optimizer).__name__, "num_update": optimizer.num_update}
    generator = getattr(optimizer, "generator", None)
    drawn = {} if generator is None else {"generator": generator.bit_generator.state}
    return {**found, "hyper": hyper_of(optimizer), **drawn, "parameters": parameters}


def hyper_of(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's settings as plain data, to be read: the scheduler as text."""
    plain_ones = {k: v for k, v in vars(optimizer).items() if not k.startswith("_") and isinstance(v, PLAIN)}
    schedule = optimizer.lr_scheduler
    text = None if schedule is None else repr(schedule)
    factors = {"lr_mult": dict(optimizer.lr_mult), "wd_mult": dict(optimizer.wd_mult)}
    return {**plain_ones, "lr_scheduler": text, **factors}


def name_of(optimizer: Optimizer, index: Any) -> str:
    """What a parameter is called in a state."""
    return str(optimizer.idx2name.get(index, index))


def named(optimizer: Optimizer, index: Any, weight: Any, state: Any) -> dict[str, Any]:
    """The arrays of a state by the names that the rule's op has for them; by position for a class without a rule."""
    is_copied = optimizer.multi_precision and dtype_of(weight) in NARROW
    inner, copy = (state[1], state[0]) if is_copied else (state, None)
    cohort = Cohort([0])
    try:
        rule, attrs = optimizer.rule(1.0, 0.0, 1, optimizer.kind(index, weight, inner))
    except RuleError:
        return positions(state)
    cohort.take(rule, attrs)
    share([cohort])
    op = cohort.update("mp_" if is_copied else "").op
    return named_states(op, optimizer.arrays_in(inner), inner, copy, name_of(optimizer, index))


def positions(state: Any) -> dict[str, Any]:
    """The arrays of a state, numbered."""
    return {str(k): x for k, x in enumerate(leaves(state))}


def plan_updater(
    updater: Updater, state: Mapping[str, Any], found: Differences, path: str, version: int
) -> Commit:
    """Compare a state with an Updater, and give the function that takes it over."""
    optimizer, own, given = updater.optimizer, described(updater, version), Given(state, found, path)
    given.needs(*(name for name in own if name != "hyper"))
    given.same("format", version)
    given.same("optimizer", own["optimizer"])
    num_update, parameters = given.count("num_update", optimizer.num_update), given.part("parameters")
    parameters.needs(*own["parameters"])
    commits = [_plan_generator(optimizer, given)]
    counts: dict[Any, int] = {}
    for name in parameters:
        here, there = own["parameters"].get(name), parameters.part(name)
        there.needs("index", "updates", "shape", "dtype")
        index = _index_of(updater, name, there)
        counts[index] = there.count("updates")
        if here is not None and here["shape"] is not None:
            commits.append(_plan_known(updater, index, here, there))
        else:
            commits.append(_plan_fresh(updater, index, there))

    def commit() -> None:
        for write in commits:
            write()
        for table in optimizer._all_index_update_counts.values():
            table.update(counts)
        updater._loaded.update(counts)
        optimizer.num_update = num_update

    return commit


def _plan_known(updater: Updater, index: Any, here: Mapping[str, Any], there: Given) -> Commit:
    """Into the state of a parameter that has come."""
    if there.get("shape") is None and "state" in there:
        given = in_order(updater, there.get("state"), updater._weights[index])
        own = positions(updater.states[index])
        return plan_arrays(own, positions(given), there.found, there.at("state"))
    there.same("shape", here["shape"])
    there.same("dtype", here["dtype"])
    there.needs("states")
    return there.arrays("states", here["states"])


def _plan_fresh(updater: Updater, index: Any, there: Given) -> Commit:
    """Of a parameter that has not come: its state is made now, for a weight like the one saved, so that what does not
    fit is known now. It goes to its weight's device when that comes."""
    weight = state = None
    fill = nothing
    if there.get("shape") is None and "state" in there:
        state = copied(there.get("state"))
    else:
        there.needs("states")
        is_whole = not there.found.missing  # with strict=False, a state that lacks something begins anew
        weight = _stand_in(there)
        if weight is None:
            return nothing
        state = updater.optimizer.create_state_multi_precision(index, np.zeros(weight.shape, weight.dtype))
        fill = there.arrays("states", named(updater.optimizer, index, weight, state))
        if is_whole and there.found.missing:
            return nothing

    def commit() -> None:
        fill()
        updater.states[index] = state
        updater.states_synced[index] = updater._is_synced = False
        updater._weights[index] = weight

    return commit


def _stand_in(there: Given) -> Any:
    """What stands for the weight that a state was saved with; None if its shape and dtype are none."""
    shape, dtype = there.get("shape"), there.get("dtype")
    is_shape = isinstance(shape, (list, tuple)) and all(type(n) is int and n >= 0 for n in shape)
    try:
        if is_shape:
            return stand_in(shape, str(dtype))
        there.found.different.append(f"{there.at('shape')}: expected a shape, the state has {shape!r}")
    except SymoptError as error:
        there.found.different.append(f"{there.at('dtype')}: {error}")
    return None


def _plan_generator(optimizer: Any, given: Given) -> Commit:
    """The state of what draws random numbers: tried on a copy."""
    if "generator" not in given or not hasattr(optimizer, "generator"):
        return nothing
    state = given.get("generator")
    try:
        copy.deepcopy(optimizer.generator).bit_generator.state = state
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError) as error:
        given.found.different.append(f"{given.at('generator')}: {error}")

    def commit() -> None:
        optimizer.generator.bit_generator.state = state

    return commit


def _index_of(updater: Updater, name: str, there: Given) -> Any:
    """The index of a parameter called `name` here; else the one it had when it was saved."""
    optimizer, index = updater.optimizer, there.get("index", name)
    if not isinstance(index, (int, str)):
        there.found.different.append(f"{there.at('index')}: expected an index, the state has {index!r}")
        return name
    if name_of(optimizer, index) == name:
        return index
    return next((own for own, called in optimizer.idx2name.items() if called == name), index)
