"""The configuration of an optimizer as its attributes: checked whenever they are set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from threading import RLock
from types import MappingProxyType
from typing import Any, ClassVar

from ..keras.hypers import checked
from ..keras.numbers import is_number
from . import saving
from .options import DEFAULTS, check_option
from .steps import Steps

NUMBERS = {"float", "int", "None"}


class HasAttributes:
    """The options of all classes, and hyperparameters: what a class's constructor takes beside them."""

    hypers: ClassVar[tuple[str, ...]] = ()  # the constructor's arguments beside the options of all classes
    _numbers: ClassVar[Mapping[str, bool]] = MappingProxyType({})  # those annotated as such: may it be None?
    built = False
    _lock: RLock
    _steps: Steps

    def __init_subclass__(cls) -> None:
        parameters = inspect.signature(cls.__init__).parameters.values()
        kinds = {p.name: str(getattr(p.annotation, "__name__", p.annotation)) for p in parameters}
        found = {n: "None" in kind for n, kind in kinds.items() if set(kind.split(" | ")) <= NUMBERS}
        cls._numbers = {**cls._numbers, **found}
        own = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        known = {"self", "learning_rate", "name", *DEFAULTS}
        cls.hypers = tuple(dict.fromkeys([*cls.hypers, *(name for name in own if name not in known)]))
        saving.register(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        """Configuration is checked, and may change at any time: the next step has it."""
        if name in DEFAULTS:
            value = check_option(name, value)
        elif name in self._numbers or (name in self.hypers and is_number(value)):
            value = None if value is None and self._numbers.get(name) else checked(name, value)
        object.__setattr__(self, name, value)
        if self.built and (name in DEFAULTS or name in self.hypers):
            with self._lock:
                self._steps.change(name, value)
