"""Averages of weights in the place of the weights: for good, or to evaluate with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

from ..errors import AttributeValueError
from ..state import exchange
from .kept import Kept
from .steps import Steps


class HasAverages:
    """The methods of `Optimizer` about averages of weights."""

    use_ema: bool
    _lock: RLock
    _steps: Steps

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """With use_ema, copy the averages into these variables."""
        with self._lock:
            _overwrite(self._steps, self.use_ema, var_list)

    def swap(self) -> bool:
        """Exchange weights and averages, to evaluate with the averages; the next call exchanges them back. Returns
        whether the averages are in the weights now. In between there are no steps. ValueError without use_ema."""
        with self._lock:
            return _swap(self._steps, self.use_ema)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside it, the variables hold their averages: `with optimizer.averaged(): evaluate()`."""
        self.swap()
        try:
            yield
        finally:
            self.swap()


def _overwrite(steps: Steps, use_ema: bool, variables: Sequence[Any]) -> None:
    """Copy the averages of variables into them, if there are any."""
    if not use_ema:
        return
    steps.check_not_swapped("finalize_variable_values")
    kept = [steps.find(variable) for variable in variables]
    for one in kept:
        if "average" in one.bound:
            with one.place.current():
                _weight(one)[...] = one.bound["average"]


def _swap(steps: Steps, use_ema: bool) -> bool:
    """Exchange all weights and averages; whether averages are in the weights now."""
    if not use_ema:
        raise AttributeValueError("swap: there are no averages of the weights: give use_ema=True")
    for one in steps.kept:
        if "average" in one.bound:
            exchange(_weight(one), one.bound["average"])
    steps.is_swapped = not steps.is_swapped
    return steps.is_swapped


def _weight(one: Kept) -> Any:
    view = one.known.view
    return view.reshape((1,)) if one.is_scalar else view
