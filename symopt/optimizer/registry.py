"""Optimizer classes by name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import AssertedTypeError, UnknownOptimizerError, near

if TYPE_CHECKING:
    from .optimizer import Optimizer

Class = TypeVar("Class", bound=type)
OPTIMIZERS: dict[str, type[Optimizer]] = {}


def register(klass: Class) -> Class:
    """Make an optimizer class known to `create` by its name in lower case; a decorator. Warns when the name is taken.

    AssertedTypeError (an AssertionError): what is given is no class.
    """
    if not isinstance(klass, type):
        raise AssertedTypeError(f"register takes a class, got {klass!r}")
    name = klass.__name__.lower()
    before = OPTIMIZERS.get(name)
    if before is not None:
        warnings.warn(
            f"optimizer {klass.__module__}.{klass.__name__} takes the name of {before.__module__}.{before.__name__}",
            stacklevel=2,
        )
    OPTIMIZERS[name] = klass
    return klass


def create(name: str, **kwargs: Any) -> Optimizer:
    """An optimizer of the registered class called `name`, in upper or lower case. UnknownOptimizerError (a ValueError).

    >>> create("adam", learning_rate=0.1).lr
    0.1
    """
    klass = OPTIMIZERS.get(name.lower())
    if klass is None:
        known = ", ".join(sorted(OPTIMIZERS))
        raise UnknownOptimizerError(
            f"no optimizer is called {name!r}{near(name.lower(), OPTIMIZERS)} Known: {known}"
        )
    return klass(**kwargs)
