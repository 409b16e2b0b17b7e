"""What holds an optimizer's states: MXNet's Updater, whose states are saved and loaded as MXNet's files or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ShapeError
from ..places import place_of_array
from ..state import Commit, Differences, load_state
from . import mxnet1, records, restore
from .arriving import beside, stand_in
from .optimizer import Optimizer
from .plan import dtype_of, plain

FORMAT = 1  # of state_dict


class Updater:
    """Calls an optimizer with states that it makes when a parameter first comes, and keeps by index.

    Attributes: `optimizer`; `states`, by index. All parameters of a call are one step, whatever `aggregate_num` says.

    >>> import numpy as np
    >>> updater = Updater(Optimizer.create_optimizer("sgd", learning_rate=0.5, momentum=0.9))
    >>> w = np.ones(2)
    >>> updater(0, np.ones(2), w)
    >>> w, updater.states
    (array([0.5, 0.5]), {0: array([-0.5, -0.5])})
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.states: dict[Any, Any] = {}
        self.aggregate_updates = optimizer.aggregate_num > 1
        self.states_synced: dict[Any, bool] = {}
        self._weights: dict[Any, Any] = {}
        self._loaded: dict[Any, int] = {}  # counts that were loaded: every device begins with them
        self._is_synced = True
        self._first: Any = None  # weight of the last call
        self._device = 0  # where it is: each device counts its own updates

    def __call__(self, index: Any, grad: Any, weight: Any) -> None:
        """Update weights in place: one index, gradient and weight, or lists of them.

        Bad input raises before anything is written.
        """
        if not isinstance(index, (list, tuple)):
            index, grad, weight = [index], [grad], [weight]
        with self.optimizer._lock:
            self._update(index, grad, weight)

    def _update(self, index: Sequence[Any], grad: Sequence[Any], weight: Sequence[Any]) -> None:
        optimizer = self.optimizer
        if weight and weight[0] is not self._first:
            self._device = place_of_array(plain(weight[0])).context.device_id
            self._first = weight[0]
        if optimizer._all_index_update_counts.get(self._device) is not optimizer._index_update_count:
            optimizer._set_current_device(self._device)
        try:
            states = list(map(self.states.__getitem__, index))
        except KeyError:
            states = None
        if states is None or not self._is_synced:
            index = [i.decode() if isinstance(i, bytes) else i for i in index]
            states = self._ready(index, weight)
        optimizer.update_multi_precision(index, weight, grad, states)

    def _ready(self, indices: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The state of each parameter, beside its weight. Nothing is kept if one of them does not fit."""
        if len(indices) != len(weights):
            raise ShapeError(
                f"an Updater takes as many weights as indices; got {len(weights)} and {len(indices)}"
            )
        fresh = {}
        for i, weight in zip(indices, weights, strict=True):
            if i not in self.states:
                fresh[i] = self.optimizer.create_state_multi_precision(i, weight)
            elif not self.states_synced.get(i, True):
                fresh[i] = beside(self, i, weight)
        self.states.update(fresh)
        self.states_synced.update(dict.fromkeys(indices, True))
        self._is_synced = all(self.states_synced.values())
        self._weights.update(zip(indices, weights, strict=True))
        for i in indices:
            if i in self._loaded:
                self.optimizer._index_update_count.setdefault(i, self._loaded[i])
        return [self.states[i] for i in indices]

    # ---- MXNet's files

    def get_states(self, dump_optimizer: bool = False, np_shape: bool = True) -> bytes:
        """The states as `set_states` of MXNet 2 reads them, with the optimizer's class and attributes if asked.

        `np_shape`: False for MXNet 1, which reads states alone. Those of SGD, NAG and LARS with multi_precision, and of
        RMSProp, are then in its order.
        """
        from ..mxnetfiles import write_states

        kept = self.states
        if not np_shape and not dump_optimizer:  # MXNet 1 reads no optimizer of MXNet 2
            kept = {k: mxnet1.to_mxnet1(self.optimizer, s) for k, s in kept.items()}
        return write_states(kept, records.record_of(self.optimizer) if dump_optimizer else None, np_shape)

    def set_states(self, states: bytes) -> None:
        """Take over the states in such bytes, MXNet's or `get_states`'s, and the optimizer if they have one.

        They are read as data: nothing in them is run. States go to their weights' device when next used.
        FormatError for bytes that are something else.
        """
        from ..mxnetfiles import read_states

        found = read_states(states)
        if found.optimizer is not None:
            self.optimizer = records.optimizer_of(found.optimizer, like=self.optimizer)
        self.states = dict(found.states)
        if found.optimizer is not None and found.optimizer.module == mxnet1.MODULE:
            self.states = {k: mxnet1.from_mxnet1(self.optimizer, s) for k, s in self.states.items()}
        self.states_synced = dict.fromkeys(self.states, False)
        self._is_synced = False
        self._weights.clear()
        self._loaded.clear()
        self._first = None

    # ---- state by name

    def state_dict(self) -> dict[str, Any]:
        """Counts and states by parameter name (the optimizer's, else the index); arrays are the ones in use.

        Parameters that never came are not in it. `hyper` is there to be read: loading leaves it alone.
        """
        return restore.described(self, FORMAT)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over counts and states, whole or not at all: StateError lists what does not fit.

        The state of a parameter that has not come yet is compared with what its class keeps now, and with the weight
        when that comes. With strict=False, parameters of this Updater that the state lacks are left as they are.
        """
        with self.optimizer._lock:
            return load_state(self, state, strict, "this Updater")

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """What `load_state_dict` does, in two moves; see symopt.state."""
        return restore.plan_updater(self, state, found, path, FORMAT)

    # ---- copies: of states, not of weights

    def __getstate__(self) -> dict[str, Any]:
        known = {i: w if w is None else (tuple(w.shape), dtype_of(w)) for i, w in self._weights.items()}
        return {**self.__dict__, "_weights": known, "_first": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._weights = {i: known and stand_in(*known) for i, known in self._weights.items()}
        self.states_synced = dict.fromkeys(self.states, False)
        self._is_synced = not self.states


def get_updater(optimizer: Optimizer) -> Updater:
    """An Updater of an optimizer."""
    return Updater(optimizer)
