"""`so.compile`: parameters and a rule, as one function that makes a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import Array
from ..backends.watched import NanGuard
from ..dtypes import NARROW
from ..errors import ArrayError, AttributeValueError, DeviceError, MissingArgumentError
from ..opdef import OpDef
from ..overlap import check_overlap
from ..places import Place, place_of_array
from .compiled import CompiledStep
from .groups import Group, Groups, assign
from .names import Tree, flatten
from .plan import Options
from .scaling import LossScale, as_loss_scale


def compile(
    rule: str | Callable[..., Any] | OpDef,
    params: Tree,
    *,
    groups: Groups | None = None,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    clip_global_norm: float | None = None,
    accumulate: int = 1,
    ema: float | Callable[[int], float] | None = None,
    loss_scale: float | str | LossScale | None = None,
    skip_nonfinite: bool = False,
    multi_precision: bool = False,
    engine: str = "auto",
    nan_guard: NanGuard = None,
    **attrs: Any,
) -> CompiledStep:
    """A function `step(grads)` that updates `params` in place, all of them in one call.

    `rule`: the name of an update op, such as "torch_adamw" or "group_adagrad", or a formula of your own. `params`:
    arrays (NumPy's, CuPy's, torch tensors) in a dict, a list, or nested ones; gradients come in the same structure,
    dense or row_sparse.

    `attrs`: attributes of the rule (`so.rules`), each a number, a flag, or a function of the number of updates done, or
    an `so.lr_scheduler`. Step counts and Nadam's products are kept by the step itself. Also `weight_decay`, decoupled:
    each weight loses `lr * weight_decay` of itself before the update; and `initial`, what states begin with.

    `groups`: by pattern of the name (`"*.bias"`, `"embed*"`; the first that matches counts) other attributes,
    `lr_mult`, `weight_decay`, or another `rule`, which takes over `lr` only; None: frozen.
    `clip_value`, `clip_norm`, `clip_global_norm`: bounds on gradients, in this order. `accumulate`: how many gradients
    make an update, of their mean. `ema`: momentum of an average of the weights, a number or a function, such as
    `so.training.swa()`. `loss_scale`: the factor your loss has, or "dynamic"; a step with a gradient that is not finite
    is left out, as with `skip_nonfinite`. `multi_precision`: 16-bit weights have float32 copies, which the rule works
    on. `engine`, `nan_guard`: see `Symbol.bind`.

    Raises what is wrong before anything is written: UnknownOpError, UnknownAttributeError, MissingArgumentError,
    AttributeValueError, ArrayError for arrays that cannot be updated in place.

    >>> import numpy as np
    >>> params = {"w": np.ones((2, 3)), "b": np.zeros(3)}
    >>> groups = {"b": {"wd": 0.0}}
    >>> step = compile("torch_adamw", params, lr=lambda done: 0.1 / (1 + done), groups=groups)
    >>> step({"w": np.ones((2, 3)), "b": np.ones(3)})
    True
    >>> params["w"][0].round(3), params["b"].round(3)
    (array([0.899, 0.899, 0.899]), array([-0.1, -0.1, -0.1]))
    """
    given = (groups, clip_value, clip_norm, clip_global_norm, accumulate, ema, loss_scale, skip_nonfinite)
    return CompiledStep(*read(rule, params, *given, multi_precision, engine, nan_guard, **attrs))


def read(
    rule: str | Callable[..., Any] | OpDef,
    params: Tree,
    groups: Groups | None = None,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    clip_global_norm: float | None = None,
    accumulate: int = 1,
    ema: float | Callable[[int], float] | None = None,
    loss_scale: float | str | LossScale | None = None,
    skip_nonfinite: bool = False,
    multi_precision: bool = False,
    engine: str = "auto",
    nan_guard: NanGuard = None,
    **attrs: Any,
) -> tuple[dict[str, Any], dict[str, Group | None], Options, Place]:
    """What `compile` takes, looked at: parameters by name, the group of each, what is done to all, and their place."""
    named = flatten(params, "params")
    place, arrays = _checked(named)
    low = [name for name, array in arrays.items() if multi_precision and array.dtype.name in NARROW]
    options = Options(
        clip_value=_bound("clip_value", clip_value),
        clip_norm=_bound("clip_norm", clip_norm),
        clip_global_norm=_bound("clip_global_norm", clip_global_norm),
        accumulate=_count("accumulate", accumulate),
        ema=_momentum(ema),
        loss_scale=as_loss_scale(loss_scale),
        skip_nonfinite=bool(skip_nonfinite),
        engine=engine,
        nan_guard=nan_guard,
    )
    assigned = assign(list(named), rule, attrs, groups, low)
    if all(group is None for group in assigned.values()):
        raise MissingArgumentError("compile: there is no parameter to train")
    return named, assigned, options, place


def _checked(named: Mapping[str, Any]) -> tuple[Place, dict[str, Array]]:
    """The one place of all parameters, and their arrays; ArrayError for what cannot be updated in place."""
    place: Place | None = None
    arrays: dict[str, Array] = {}
    for name, given in named.items():
        if not hasattr(given, "shape"):
            raise ArrayError(f"compile: parameter {name!r} is no array: {given!r}")
        here = place_of_array(given)
        if place is not None and here is not place:
            raise DeviceError(
                f"compile: parameter {name!r} is on {here.context!r}, the others on {place.context!r}"
            )
        place = here
        arrays[name] = array = here.as_array(given, f"parameter {name!r}", mutable=True)
        if not array.flags.c_contiguous:
            raise ArrayError(f"compile: parameter {name!r} is not contiguous; it is updated in place")
    if place is None:
        raise MissingArgumentError("compile: there are no parameters")
    check_overlap([(name, array, True) for name, array in arrays.items()])
    return place, arrays


def _bound(name: str, value: float | None) -> float | None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0
    ):
        raise AttributeValueError(f"compile: {name} must be a positive number, got {value!r}")
    return value


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise AttributeValueError(f"compile: {name} must be an integer of at least 1, got {value!r}")
    return value


def _momentum(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    if value is not None and not callable(value) and not is_number:
        raise AttributeValueError(
            f"compile: ema must be a momentum from 0 to 1, or a function, got {value!r}"
        )
    return value
