"""Any rule as a `torch.optim.Optimizer`: in place on torch's tensors, one call per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DependencyError
from ..opdef import OpDef

__all__ = ["optim"]


def optim(
    params: Any,
    rule: str | Callable[..., Any] | OpDef = "torch_adam",
    *,
    multi_precision: bool = False,
    initial: Mapping[str, float | str] | None = None,
    engine: str = "auto",
    **hyper: Any,
) -> Any:
    """A `torch.optim.Optimizer` that updates `params` by any rule, in place, all groups in one call.

    `params`: tensors, (name, tensor) pairs, or groups of them, as any optimizer of torch takes; a group may have its
    own `rule` and attributes. `rule`: the name of an update op (with or without `_update`), or a formula registered by
    `@so.update_op`. `hyper`: its attributes; those of `torch_` rules may be given in torch's words (`betas`, `eps`,
    `weight_decay`), and are so kept in `param_groups`. What formulas count (`step`, `t`) is counted here, for each
    parameter by itself. `multi_precision`: float16 and bfloat16 parameters have a float32 copy in the state.
    `initial`: what states begin with, if not as the rule says.

    Numbers in `param_groups` are read at every step, so schedulers and your own code may write them. Parameters without
    gradient are left alone. Sparse gradients update the rows they list (`lazy_update=False`: all rows). Parameters are
    on the processor or on GPUs (with CuPy), contiguous, real or complex; nothing is copied.
    DependencyError without torch; UnknownOpError, UnknownAttributeError or MissingArgumentError for rules and
    attributes; ArrayError for parameters that cannot be updated in place.

        optimizer = so.torch.optim(model.parameters(), "torch_adamw", lr=1e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise DependencyError("so.torch needs PyTorch: pip install symopt[torch]") from error
    from .optimizer import Optim

    return Optim(
        params, rule, multi_precision=multi_precision, initial=initial or {}, engine=engine, hyper=hyper
    )
