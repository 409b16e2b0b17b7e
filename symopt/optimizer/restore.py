"""The state of an Updater by parameter name: given out, compared, taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import RuleError
from ..places import place_of_array
from ..state import Commit, Differences, plan_arrays
from .cohort import Cohort, share
from .optimizer import Optimizer
from .plan import HALF, dtype_of, leaves, named_states, plain

if TYPE_CHECKING:
    from .updater import Updater

PLAIN = (bool, int, float, str, type(None))


def described(updater: Updater, version: int) -> dict[str, Any]:
    """What `Updater.state_dict` gives."""
    optimizer = updater.optimizer
    parameters = {}
    for index, state in updater.states.items():
        weight = updater._weights.get(index)
        arrays = {} if weight is None else named(optimizer, index, weight, state)
        parameters[name_of(optimizer, index)] = {
            "index": index,
            "updates": optimizer._index_update_count.get(index, optimizer.begin_num_update),
            "shape": None if weight is None else list(weight.shape),
            "states": arrays if weight is not None else positions(state),
        }
    hyper = {k: v for k, v in vars(optimizer).items() if not k.startswith("_") and isinstance(v, PLAIN)}
    found = {"format": version, "optimizer": type(optimizer).__name__, "num_update": optimizer.num_update}
    generator = getattr(optimizer, "generator", None)
    drawn = {} if generator is None else {"generator": generator.bit_generator.state}
    return {**found, "hyper": hyper, **drawn, "parameters": parameters}


def name_of(optimizer: Optimizer, index: Any) -> str:
    """What a parameter is called in a state."""
    return str(optimizer.idx2name.get(index, index))


def named(optimizer: Optimizer, index: Any, weight: Any, state: Any) -> dict[str, Any]:
    """The arrays of a state by the names that the rule's op has for them; by position for a class without a rule."""
    is_copied = optimizer.multi_precision and dtype_of(weight) in HALF
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


def filled(updater: Updater, index: Any, weight: Any) -> Any:
    """The state of a parameter that comes for the first time: new, or what was loaded for it. StateError if that does
    not fit."""
    optimizer = updater.optimizer
    state = optimizer.create_state_multi_precision(index, weight)
    given = updater._waiting.get(index)
    if given is not None:
        found = Differences()
        path = f"parameters/{name_of(optimizer, index)}"
        own = named(optimizer, index, weight, state)
        if given["shape"] is not None:
            found.compare(f"{path}/shape", "shape", list(weight.shape), list(given["shape"]))
        commit = plan_arrays(own, given["states"], found, f"{path}/states")
        found.check("this Updater", strict=True)
        commit()
    return state


def plan_updater(
    updater: Updater, state: Mapping[str, Any], found: Differences, path: str, version: int
) -> Commit:
    """Compare a state with an Updater, and give the function that takes it over."""
    optimizer = updater.optimizer
    prefix = f"{path}/" if path else ""
    own = described(updater, version)
    found.compare(f"{prefix}format", "format", version, state.get("format"))
    found.compare(f"{prefix}optimizer", "optimizer", own["optimizer"], state.get("optimizer"))
    num_update = _count(state, "num_update", found, prefix)
    given = state.get("parameters")
    if not isinstance(given, Mapping):
        found.different.append(f"{prefix}parameters: expected a dict, the state has {type(given).__name__}")
        given = {}
    found.missing += [f"{prefix}parameters/{name}" for name in own["parameters"] if name not in given]
    commits: list[Commit] = []
    counts: dict[Any, int] = {}
    waiting: dict[Any, Any] = {}
    for name, there in given.items():
        where = f"{prefix}parameters/{name}"
        if not _is_parameter(there, found, where):
            continue
        index = _index_of(updater, name, there)
        counts[index] = _count(there, "updates", found, f"{where}/")
        here = own["parameters"].get(name)
        if here is None or here["shape"] is None:
            waiting[index] = {
                "shape": there.get("shape"),
                "states": {k: _copied(x) for k, x in there["states"].items()},
            }
        else:
            found.compare(f"{where}/shape", "shape", here["shape"], there.get("shape"))
            commits.append(plan_arrays(here["states"], there["states"], found, f"{where}/states"))

    def commit() -> None:
        for write in commits:
            write()
        for index in waiting:
            updater.states.pop(index, None)
        updater._waiting.update(waiting)
        optimizer._index_update_count.update(counts)
        optimizer.num_update = num_update
        if "generator" in state and hasattr(optimizer, "generator"):
            optimizer.generator.bit_generator.state = state["generator"]

    return commit


def _is_parameter(given: Any, found: Differences, path: str) -> bool:
    good = isinstance(given, Mapping) and isinstance(given.get("states"), Mapping)
    if not good:
        found.different.append(f"{path}: expected a dict with states, the state has {type(given).__name__}")
    return good


def _count(given: Mapping[str, Any], name: str, found: Differences, prefix: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        found.different.append(f"{prefix}{name}: expected a count, the state has {value!r}")
        return 0
    return value


def _index_of(updater: Updater, name: str, given: Mapping[str, Any]) -> Any:
    """The index of a parameter called `name` here; else the one it had when it was saved."""
    by_name = {found: index for index, found in updater.optimizer.idx2name.items()}
    return by_name.get(name, given.get("index", name))


def _copied(x: Any) -> Any:
    """An array in memory of its own: what waits for its weight must not change."""
    if not hasattr(x, "shape"):
        return x
    place = place_of_array(x)
    with place.current():
        return place.view(plain(x), "a state").copy()
