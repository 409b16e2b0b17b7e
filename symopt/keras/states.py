"""The state of an optimizer by name, and taking it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SymoptError
from ..state import Commit, Differences, plan_arrays
from .numbers import plain_number
from .scalars import Scalar

if TYPE_CHECKING:
    from .weights import KeepsState


def state_of(optimizer: KeepsState) -> dict[str, Any]:
    """What is to be saved. `config` is for the reader: it is not taken over."""
    return {
        "class": type(optimizer).__name__,
        "config": optimizer.get_config(),
        "iterations": int(optimizer.iterations),
        "products": {attr: float(x.value) for attr, x in optimizer._updates.products.items()},
        "variables": {known.key: _arrays(optimizer, known.key) for known in optimizer._slots.known},
    }


def plan_state(optimizer: KeepsState, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Compare names, shapes and dtypes; the function returned copies arrays and numbers."""
    prefix = f"{path}/" if path else ""
    slots, updates = optimizer._slots, optimizer._updates
    found.compare(f"{prefix}class", "the class", type(optimizer).__name__, state.get("class"))
    commits = [_plan_number(optimizer.iterations, state, "iterations", found, prefix, whole=True)]
    products, own_products = _mapping(state, "products", found, prefix), updates.products
    for attr in found.names(f"{prefix}products", own_products, products):
        commits.append(_plan_number(own_products[attr], products, attr, found, f"{prefix}products/"))
    own = {known.key: _arrays(optimizer, known.key) for known in slots.known}
    given = _mapping(state, "variables", found, prefix)
    for key in found.names(f"{prefix}variables", own, given):
        arrays = _mapping(given, key, found, f"{prefix}variables/")
        commits.append(plan_arrays(own[key], arrays, found, f"{prefix}variables/{key}"))

    def commit() -> None:
        for one in commits:
            one()

    return commit


def _arrays(optimizer: KeepsState, key: str) -> dict[str, Any]:
    return {name: slot.value for name, slot in optimizer._slots.of(key).items()}


def _mapping(state: Mapping[str, Any], key: str, found: Differences, prefix: str) -> Mapping[str, Any]:
    value = state.get(key)
    if value is None:
        found.missing.append(f"{prefix}{key}")
    elif not isinstance(value, Mapping):
        found.different.append(
            f"{prefix}{key}: expected names and values, the state has {type(value).__name__}"
        )
    return value if isinstance(value, Mapping) else {}


def _plan_number(
    own: Scalar, state: Mapping[str, Any], key: str, found: Differences, prefix: str, whole: bool = False
) -> Commit:
    """Take over a number; `whole`: a count."""
    if key not in state:
        found.missing.append(f"{prefix}{key}")
        return _nothing
    try:
        number = plain_number(state[key], key)
    except SymoptError as error:
        found.different.append(f"{prefix}{key}: {error}")
        return _nothing
    if whole and (number < 0 or number != int(number)):
        found.different.append(f"{prefix}{key}: expected a count, the state has {number!r}")
        return _nothing
    return lambda: (own.assign(number), None)[1]


def _nothing() -> None:
    """Nothing to take over."""
