"""The gradients of a step as arrays: where they lie, or copied where that costs less than to follow them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch

from ..places import Place
from .tensors import addresses, bound_type, memory, rows_of

if TYPE_CHECKING:
    from .part import Parameter

SMALL = 1 << 16  # bytes: a gradient up to this size is copied sooner than the executor told where it lies now


class Stale(Exception):
    """Gradients are not of the kinds that they were: never seen by users."""


class Gradients:
    """Arrays on the gradients of some parameters. `arrays`: in the order of the parameters.

    Backward passes make new gradients, most often where the last ones were: then nothing needs be done. A large one
    that lies elsewhere is bound there; a small one, or one with strides, gets a buffer and is copied from then on.
    """

    def __init__(self, place: Place, parameters: Sequence[Parameter]) -> None:
        self._place, self._parameters = place, parameters
        kinds = [p.tensor.grad.is_sparse for p in parameters]
        self._rows = [k for k, is_rows in enumerate(kinds) if is_rows]
        self._dense = [k for k, is_rows in enumerate(kinds) if not is_rows]
        self._pick_dense = picker(self._dense, len(parameters))
        self._addresses: Sequence[int] = [-1] * len(self._dense)
        self._buffered: list[int] = []
        self._buffers: list[torch.Tensor] = []
        self._pick_buffered = picker([], 0)
        self._is_new = True
        self.arrays: list[Any] = [None] * len(parameters)

    def see(self, grads: Sequence[Any]) -> None:
        """Make `arrays` those of these gradients. Stale if some are dense that were sparse, or the other way round."""
        try:
            found, all_flat = self._look(self._pick_dense(grads))
        except (RuntimeError, TypeError):  # what is sparse has no address
            raise Stale from None
        if found != self._addresses or not all_flat:
            self._follow(grads, found)
        if self._buffers:
            with torch.no_grad():
                torch._foreach_copy_(self._buffers, self._pick_buffered(grads))
        if self._rows:
            self._take_rows(grads)

    def _look(self, dense: Sequence[Any]) -> tuple[Sequence[int], bool]:
        found = addresses(dense)
        return found, all(map(torch.Tensor.is_contiguous, dense))

    def _follow(self, grads: Sequence[Any], found: Sequence[int]) -> None:
        arrays = list(self.arrays)  # the runner compares with the list of the last step
        buffered = set(self._buffered)
        for old, new, k in zip(self._addresses, found, self._dense):
            grad = grads[k]
            if k in buffered or (old == new and grad.is_contiguous()):
                continue
            is_copied = not grad.is_contiguous() or (not self._is_new and grad.nbytes <= SMALL)
            if is_copied:
                buffer = torch.empty(grad.shape, dtype=grad.dtype, device=grad.device)
                self._buffered.append(k)
                self._buffers.append(buffer)
                new = buffer.data_ptr()
            p = self._parameters[k]
            arrays[k] = memory(self._place, new, *bound_type(grad, p.pairs, f"the gradient of {p.name}"))
        self.arrays, self._addresses, self._is_new = arrays, found, False
        self._pick_buffered = picker(self._buffered, 0)

    def _take_rows(self, grads: Sequence[Any]) -> None:
        arrays = list(self.arrays)
        for k in self._rows:
            if grads[k].layout == torch.strided:
                raise Stale
            arrays[k] = rows_of(grads[k], self._place, self._parameters[k].name)
        self.arrays = arrays


def picker(chosen: Sequence[int], total: int) -> Any:
    """A function that gives the chosen elements of a sequence."""
    if len(chosen) == total:
        return lambda grads: grads
    if len(chosen) == 1:
        return lambda grads: [grads[chosen[0]]]
    return itemgetter(*chosen) if chosen else lambda grads: ()
