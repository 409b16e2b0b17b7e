"""The hyperparameters of an optimizer as its attributes."""

from __future__ import annotations

from typing import Any

from .. import errors
from ..errors import AttributeValueError, near
from .checks import CLIPS, checked_clip, checked_option
from .hypers import Hypers, is_constant
from .rules import SQUARE_ROOT
from .scalars import Scalar

ALIASES = {"lr": "learning_rate"}


class HasHypers:
    """Reading and setting `optimizer.<name>`: numbers and schedules are checked, and shape the next step."""

    _hypers: Hypers
    _option_names: tuple[str, ...] = ()
    _with_momentum: bool

    @property
    def iterations(self) -> Scalar:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        name = ALIASES.get(name, name)
        hypers = self.__dict__.get("_hypers", ())
        if name in hypers:
            return hypers.shown(name)
        raise errors.UnknownMemberError(
            f"{type(self).__name__} has no attribute {name!r}{near(name, hypers)}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        name = ALIASES.get(name, name)
        if name in self.__dict__.get("_hypers", ()):
            self._set_hyper(name, value)
            return
        if name in CLIPS and value is not None:
            value = checked_clip(name, value)
            if self.__dict__.get("gradient_transformers"):
                raise AttributeValueError(f"`{name}` cannot be set when `gradient_transformers` are given")
        if name in self._option_names:
            value = checked_option(name, value)
        object.__setattr__(self, name, value)
        if not name.startswith("_"):
            self.__dict__["_version"] = self.__dict__.get("_version", 0) + 1

    def _set_hyper(self, name: str, value: Any) -> None:
        """Give a hyperparameter a value, of which `optimizer.<name>` then tells; see Optimizer."""
        before = self._hypers.set(name, value)
        now = self._hypers[name]
        if name == "momentum" and not self._with_momentum and (not is_constant(now) or now > 0):
            self._with_momentum = True
            self.__dict__["_version"] += 1  # another op
        elif name == "learning_rate_power" and (before == SQUARE_ROOT) != (now == SQUARE_ROOT):
            self.__dict__["_version"] += 1

    def _get_hyper(self, name: str, dtype: Any = None) -> Any:
        """The value that a hyperparameter has now, or its schedule."""
        return self._hypers.shown(name)

    def _decayed_lr(self, dtype: Any = None) -> float:
        """The learning rate of the next step, its schedule and `decay` counted in."""
        return float(self._hypers.numbers(int(self.iterations))["@learning_rate"])

    def _serialize_hyperparameter(self, name: str) -> Any:
        """A hyperparameter as plain data, for `get_config`."""
        return self._hypers.described(ALIASES.get(name, name))
