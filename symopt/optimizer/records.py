"""Optimizers as MXNet's files have them: a class's name and its attributes, which are read as data."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError, near
from ..lr_scheduler import CosineScheduler, FactorScheduler, LRScheduler, MultiFactorScheduler, PolyScheduler
from . import mxnet1
from .adam import Nadam
from .counts import UpdateCounts
from .optimizer import Optimizer
from .registry import OPTIMIZERS

if TYPE_CHECKING:
    from ..mxnetfiles import ObjectRecord

SCHEDULERS = {c.__name__: c for c in (FactorScheduler, MultiFactorScheduler, PolyScheduler, CosineScheduler)}
# Where MXNet 2 keeps classes, other than in a module called like the class in lower case.
MODULES = {"AdamW": "adamW", "GroupAdaGrad": "contrib", "Test": "optimizer"}
PLAIN = (bool, int, float, str, type(None))
TABLES = ("lr_mult", "wd_mult", "idx2name")
NOT_TAKEN = ("engine", "param_dict", "sym_info", "generator")


def optimizer_of(record: ObjectRecord, like: Optimizer) -> Optimizer:
    """The optimizer that a record is of, by its class's name: registered, if not MXNet's own. FormatError for others.

    Attributes of plain types that the class here has are taken over if they are of a fitting type; `engine`, and what
    objects a file cannot hold (`param_dict`), come from `like`.
    """
    klass = OPTIMIZERS.get(record.name.lower())
    if klass is None:
        raise FormatError(f"the states come with an optimizer {record.name!r}, which is not registered here"
                          f"{near(record.name.lower(), OPTIMIZERS)}")  # fmt: skip
    made = klass()
    given = mxnet1.renamed(record.module, record.name, record.attributes)
    for name, found in given.items():
        value = _plain(found)
        if name in vars(made) and not name.startswith("_") and name not in NOT_TAKEN:
            if name in TABLES and isinstance(value, dict):
                setattr(made, name, dict(value))
            elif name not in TABLES and name != "lr_scheduler" and isinstance(value, PLAIN):
                setattr(made, name, value)
    made.lr_scheduler = _scheduler_of(given.get("lr_scheduler"), given.get("lr"))
    made.engine, made.param_dict = like.engine, like.param_dict
    tables = given.get("_all_index_update_counts") or {0: given.get("_index_update_count", {})}
    for device, counts in tables.items():
        made._all_index_update_counts[device] = UpdateCounts(counts)
    made._set_current_device(0)
    return made


def _plain(value: Any) -> Any:
    """An array of one element as a number: MXNet's AdamW and AdaBelief keep `rescale_grad` in one once they stepped."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _scheduler_of(given: Any, lr: float | None) -> LRScheduler | None:
    """MXNet's schedulers change their base_lr as they go; this is what they began with. `lr`: the optimizer's, which
    became the base_lr of those that follow it."""
    if given is None:
        return None
    name, attributes = getattr(given, "name", ""), getattr(given, "attributes", {})
    klass = SCHEDULERS.get(name)
    if klass is None:
        raise FormatError(
            f"the optimizer has a scheduler {name or given!r}, which is none of {', '.join(SCHEDULERS)}"
        )
    first = attributes.get("warmup_final_lr", attributes.get("base_lr")) if lr is None else lr
    found = {**attributes, "base_lr": attributes.get("base_lr_orig", first), "pwr": attributes.get("power")}
    try:
        return klass(**{n: found[n] for n in signature(klass).parameters if found.get(n) is not None})
    except (TypeError, ValueError) as error:
        raise FormatError(f"the optimizer's {name} can't be made: {error}") from error


def record_of(optimizer: Optimizer) -> ObjectRecord:
    """What MXNet pickles of an optimizer of this class; its `set_states` makes one of its own classes of it."""
    from ..mxnetfiles import ObjectRecord

    name = type(optimizer).__name__
    attributes: dict[str, Any] = {
        k: v for k, v in vars(optimizer).items() if isinstance(v, PLAIN) and k != "engine"
    }
    attributes |= {k: dict(getattr(optimizer, k)) for k in TABLES}
    tables = {device: dict(counts) for device, counts in optimizer._all_index_update_counts.items()}
    attributes |= {
        "_all_index_update_counts": tables,
        "_index_update_count": dict(optimizer._index_update_count),
    }
    attributes |= {
        "sym_info": (),
        "allow_np_array": False,
        "lr_scheduler": _scheduler_record(optimizer.lr_scheduler),
    }
    if isinstance(optimizer, Nadam):
        attributes["m_schedule"] = optimizer.m_schedule(optimizer.num_update, None)
    return ObjectRecord(f"mxnet.optimizer.{MODULES.get(name, name.lower())}", name, attributes)


def _scheduler_record(scheduler: Any) -> Any:
    """A scheduler as MXNet's own begins, which catches up when it is asked."""
    from ..mxnetfiles import ObjectRecord

    if scheduler is None:
        return None
    attributes = {"warmup_final_lr": scheduler.base_lr, **vars(scheduler)}
    if isinstance(scheduler, (FactorScheduler, MultiFactorScheduler)):
        attributes |= {"count": 0, "cur_step_ind": 0}
    elif isinstance(scheduler, (PolyScheduler, CosineScheduler)):
        steps = scheduler.max_update - scheduler.warmup_steps
        attributes |= {"base_lr_orig": scheduler.base_lr, "max_steps": steps}
    return ObjectRecord("mxnet.lr_scheduler", type(scheduler).__name__, attributes)
