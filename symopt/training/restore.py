"""Loading the state of a compiled step: everything is compared before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..given import Given
from ..state import Commit, Differences

if TYPE_CHECKING:
    from .compiled import CompiledStep


def plan_step(step: CompiledStep, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Compare a state with `step`, and give the function that takes it over."""
    own, given = step.state_dict(), Given(state, found, path)
    given.names(own)
    given.same("format", own["format"])
    updates, micro = given.count("updates", own["updates"]), given.count("micro_steps", own["micro_steps"])
    if micro >= step._options.accumulate:
        found.different.append(
            f"{given.at('micro_steps')}: {micro} gradients are added up in the state; an update takes "
            f"{step._options.accumulate} here"
        )
    parameters = given.part("parameters")
    commits: list[Commit] = []
    products = {}
    for name in parameters.names(own["parameters"]):
        mine, theirs = own["parameters"][name], parameters.part(name)
        theirs.needs("rule", "shape", "products", "states")
        for fact in ("rule", "shape", "dtype"):
            theirs.same(fact, mine[fact])
        running = theirs.part("products")
        running.names(mine["products"])
        products[name] = {n: running.number(n, x) for n, x in mine["products"].items()}
        commits.append(theirs.arrays("states", mine["states"]))
    if step.loss_scale is not None:
        commits.append(step.loss_scale.plan(given.part("loss_scale")))

    def commit() -> None:
        for write in commits:
            write()
        step._restore(updates, micro, products)

    return commit
