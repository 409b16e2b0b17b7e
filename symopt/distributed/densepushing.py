"""The steps of a ShardedOptimizer: the gradients of all ranks are taken in, at once or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..embedding.doing import Doing
from ..embedding.options import whole
from ..errors import ClusterError, MissingArgumentError, PushFailedError, TooLateError
from ..training.assigned import Assigned
from ..training.names import Tree
from ..training.plan import Options
from ..training.scaling import LossScale
from .densechecks import Ranks
from .densepieces import Pieces
from .densesteps import Steps
from .owner import Kinds
from .parcels import Parcel, kinds_of


class DensePushing:
    """A base class of ShardedOptimizer."""

    n_ranks: int
    updates: int
    loss_scale: LossScale | None
    _set: Callable[[Mapping[str, Any]], None]
    _lock: Any  # threading.RLock
    _options: Options
    _assigned: Assigned
    _pieces: Pieces
    _steps: Steps
    _ranks: Ranks
    _pushed: dict[int, Kinds]
    _micro: int
    _done: int
    _broken: str

    def step(self, grads: Any, /, **numbers: Any) -> bool:
        """Take in the gradients of all ranks, a list in their order (of one rank: its gradients as they are), each of
        the structure that `params` had, and make the step. Keywords and result as `CompiledStep`'s.

        Bad input raises before anything is sent.
        """
        with self._lock:
            ranks = self._checked(grads)
            self._set(numbers)
            values = self._assigned.numbers(self.updates)  # schedules may raise
            return self._made(values, (self._pieces.parcels.cut(leaves, is_kept=False) for leaves in ranks))

    def _stepping(self, parcels: Sequence[Parcel]) -> Doing:
        """A step with gradients of all ranks that were checked and cut elsewhere, as one of several things that happen
        together or not at all."""
        with self._lock:
            self._check_ready()
            self._ranks.together([parcel.kinds for parcel in parcels])
            values = self._assigned.numbers(self.updates)
        yield
        yield
        with self._lock:
            self._check_ready()  # other threads may push
            self._made(values, parcels)

    def _made(self, numbers: Mapping[str, float], parcels: Iterable[Parcel]) -> bool:
        asked = []
        for rank, parcel in enumerate(parcels):
            asked.append(self._steps.send(self.next_step, rank, parcel))
            self._pushed[rank] = parcel.kinds
        return self._finish(numbers, asked)

    def _checked(self, grads: Any) -> list[list[Any]]:
        """The gradients of all ranks, of each in the order of parameters; raises what is wrong with them."""
        self._check_ready()
        given = [grads] if self.n_ranks == 1 else grads
        if not isinstance(given, (list, tuple)) or len(given) != self.n_ranks:
            raise MissingArgumentError(f"step: a list of the gradients of {self.n_ranks} ranks is needed")
        ranks = [self._pieces.parcels.checked(rank, each) for rank, each in enumerate(given)]
        self._ranks.together([kinds_of(leaves) for leaves in ranks])
        return ranks

    def _check_ready(self) -> None:
        """That a step may begin whose gradients come all at once."""
        self._check_usable()
        if self._pushed:
            raise TooLateError(f"step: ranks {sorted(self._pushed)} pushed theirs: push the others, and pull")

    def push(self, rank: int, grads: Tree, *, step: int | None = None) -> str:
        """Take in the gradients of one rank, "held". "dup" if it pushed them before; MismatchError if those were
        others. `step`: which one they are for, counted from 1 (`next_step`); of one that is done it is a "dup" too.
        """
        with self._lock:
            self._check_usable()
            whole("push: rank", rank, 0, self.n_ranks - 1)
            if step is not None and step != self.next_step:
                if whole("push: step", step, 1) < self.next_step:
                    return "dup"
                raise TooLateError(f"push: step {step} is too early, the next one is {self.next_step}")
            leaves = self._pieces.parcels.checked(rank, grads)
            others = [k for r, k in self._pushed.items() if r != rank]
            self._ranks.together([*others, kinds_of(leaves)])
            parcel = self._pieces.parcels.cut(leaves, is_kept=True)
            said = self._steps.answers(self._steps.send(self.next_step, rank, parcel))
            self._pushed.setdefault(rank, parcel.kinds)
            return "held" if "held" in said else "dup"

    def pull(self, /, **numbers: Any) -> bool:
        """Make the step of which all ranks pushed their gradients, and write the new weights into `params`."""
        with self._lock:
            self._check_usable()
            missing = sorted(set(range(self.n_ranks)) - set(self._pushed))
            if missing:
                raise MissingArgumentError(
                    f"pull: the gradients of rank {missing[0]} are missing, of {missing}"
                )
            self._ranks.together(list(self._pushed.values()))
            self._set(numbers)
            return self._finish(self._assigned.numbers(self.updates), [])

    @property
    def next_step(self) -> int:
        """The number of the step whose gradients come next, from 1; gradients that are only added up count too."""
        return self._done + 1

    def _check_usable(self) -> None:
        if self._broken:
            raise ClusterError(f"this ShardedOptimizer can't go on: {self._broken}")

    def _finish(self, numbers: Mapping[str, float], asked: Sequence[Any]) -> bool:
        """Make the open step and count it."""
        kinds = self._ranks.together(list(self._pushed.values()))
        is_update = self._micro + 1 == self._options.accumulate
        try:
            is_taken = self._steps.take(self.next_step, is_update, kinds, numbers, asked)
        except Exception as error:
            self._broken = f"step {self.next_step} failed: {error}; load a state"
            raise PushFailedError(
                f"step {self.next_step} failed, and some owners may have made it: load a state. {error}"
            ) from error
        self._done += 1
        self._pushed.clear()
        self._micro = 0 if is_update else self._micro + 1
        if is_update and self.loss_scale is not None:
            self.loss_scale.update(is_taken)
        if not (is_update and is_taken):
            return False
        self._assigned.advance(self.updates)
        self.updates += 1
        return True
