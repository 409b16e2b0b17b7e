"""What a user says about a table on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import AttributeValueError

Durability = Literal["process", "power"]


@dataclass(frozen=True)
class OnDisk:
    """The folder of a table, and how it is kept there: what `Table(path=...)` takes where a path alone will not do.

    durability: when a call that writes returns, what it did outlives the end of the process ("process", which costs one
        write to a file), or also the end of the machine ("power", which waits for the drive).
    sync_every: with "power", the drive is waited for after so many batches. Those since then may be lost with the
        machine, in whole batches, latest first.
    log_bytes: a checkpoint is made before a batch when the push log has more bytes than this.
    dirty_bytes: and when pages that changed take more memory than this.
    readonly: nothing is written to the folder, and several processes may look at it.

    >>> OnDisk("words", durability="power").sync_every
    1
    """

    path: str | os.PathLike[str]
    durability: Durability = "process"
    sync_every: int = 1
    log_bytes: int = 1 << 28
    dirty_bytes: int = 1 << 30
    readonly: bool = False

    def __post_init__(self) -> None:
        if self.durability not in ("process", "power"):
            raise AttributeValueError(f"OnDisk: durability is 'process' or 'power', got {self.durability!r}")
        for name in ("sync_every", "log_bytes", "dirty_bytes"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise AttributeValueError(f"OnDisk: {name} is a whole number from 1, got {value!r}")
