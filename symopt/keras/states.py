"""The state of an optimizer by name, and taking it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..given import Given
from ..state import Commit, Differences

if TYPE_CHECKING:
    from .weights import KeepsState


def state_of(optimizer: KeepsState) -> dict[str, Any]:
    """What is to be saved. `config` is for the reader: it is not taken over."""
    return {
        "class": type(optimizer).__name__,
        "config": optimizer.get_config(),
        "iterations": int(optimizer.iterations),
        "products": {attr: float(x.value) for attr, x in optimizer._updates.products.items()},
        "parameters": {
            known.key: {
                "shape": list(known.shape),
                "dtype": known.dtype.name,
                "states": _arrays(optimizer, known.key),
            }
            for known in optimizer._slots.known
        },
    }


def plan_state(optimizer: KeepsState, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Compare names, shapes and dtypes; the function returned copies arrays and numbers."""
    own, given = state_of(optimizer), Given(state, found, path)
    given.needs(*(name for name in own if name != "config"))
    given.same("class", own["class"])
    iterations, products = given.count("iterations", own["iterations"]), given.part("products")
    numbers = {attr: products.number(attr, own["products"][attr]) for attr in products.names(own["products"])}
    parameters = given.part("parameters")
    commits = []
    for key in parameters.known(own["parameters"]):
        mine, theirs = own["parameters"][key], parameters.part(key)
        theirs.needs(*mine)
        theirs.same("shape", mine["shape"])
        theirs.same("dtype", mine["dtype"])
        commits.append(theirs.arrays("states", mine["states"]))

    def commit() -> None:
        for write in commits:
            write()
        optimizer.iterations.assign(iterations)
        for attr, number in numbers.items():
            optimizer._updates.products[attr].assign(number)

    return commit


def _arrays(optimizer: KeepsState, key: str) -> dict[str, Any]:
    return {name: slot.value for name, slot in optimizer._slots.of(key).items()}
