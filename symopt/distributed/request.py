"""A call of a shard whose answer somebody waits for, whatever happens to the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ClusterError
from .process import TRIES
from .shard import NotDone
from .transport import LOST

if TYPE_CHECKING:
    from .line import Line


class Request:
    """A call that is made again if its process dies. `reply`: the answer of the call that was made last, or why there
    is none."""

    def __init__(self, line: Line, method: str, args: tuple[Any, ...], lane: str, is_long: bool) -> None:
        self._line, self._method, self._args, self._lane = line, method, args, lane
        self._is_long = is_long
        self._send()

    def _send(self) -> None:
        self._epoch = self._line.epoch
        self.reply = self._line._call(self._method, *self._args, lane=self._lane)

    def get(self) -> Any:
        """What the method gave, or raised."""
        line, n_early = self._line, 0
        while True:
            try:
                return line._wait(self.reply, self._is_long)
            except LOST as error:
                line._recover(error, self._epoch)
            except NotDone as error:  # the call has overtaken pushes
                n_early += 1
                if n_early > TRIES:
                    raise ClusterError(f"shard {line.number} does not do what it has: {error}") from error
                line.settle()
            self._send()
