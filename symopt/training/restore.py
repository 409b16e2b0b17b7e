"""Loading the state of a compiled step: everything is compared before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..state import Commit, Differences, plan_arrays

if TYPE_CHECKING:
    from .compiled import CompiledStep


def plan_step(step: CompiledStep, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Compare a state with `step`, and give the function that takes it over."""
    own = step.state_dict()
    prefix = f"{path}/" if path else ""
    known = found.names(path or "state", own, state)
    if "format" in known:
        found.compare(f"{prefix}format", "format", own["format"], state["format"])
    numbers = {}
    for name in ("updates", "micro_steps"):
        value = state.get(name, own[name])
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            found.different.append(f"{prefix}{name}: expected a count, the state has {value!r}")
        numbers[name] = value
    parameters = state.get("parameters", {})
    if not isinstance(parameters, Mapping):
        found.different.append(
            f"{prefix}parameters: expected a dict, the state has {type(parameters).__name__}"
        )
        parameters = {}
    commits: list[Commit] = []
    products: dict[str, Mapping[str, float]] = {}
    for name in found.names(f"{prefix}parameters", own["parameters"], parameters):
        where = f"{prefix}parameters/{name}"
        commits.append(_plan_parameter(own["parameters"][name], parameters[name], found, where))
        products[name] = parameters[name].get("products", {}) if isinstance(parameters[name], Mapping) else {}
    scale = state.get("loss_scale")

    def commit() -> None:
        for write in commits:
            write()
        step._restore(numbers["updates"], numbers["micro_steps"], products)
        if scale is not None and step.loss_scale is not None:
            step.loss_scale.restore(scale)

    return commit


def _plan_parameter(own: Mapping[str, Any], given: Any, found: Differences, path: str) -> Commit:
    if not isinstance(given, Mapping):
        found.different.append(f"{path}: expected a dict, the state has {type(given).__name__}")
        return lambda: None
    found.compare(f"{path}/rule", "rule", own["rule"], given.get("rule"))
    found.compare(f"{path}/shape", "shape", list(own["shape"]), list(given.get("shape", ())))
    found.names(f"{path}/products", own["products"], given.get("products", {}))
    return plan_arrays(own["states"], given.get("states", {}), found, f"{path}/states")
