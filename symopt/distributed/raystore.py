"""What the driver puts where processes read it: memory that this machine shares, and Ray's store for other machines."""

from __future__ import annotations

import time
from typing import Any

from ..errors import StoreFullError
from ..interrupts import uninterrupted
from .arena import Arena, Readers, Shared, memory_of
from .beside import Lent
from .rayerrors import no_room
from .raystart import Instance
from .transport import size

FREED_SECONDS = 0.5  # Ray frees what is let go of a little later


class Store:
    """`capacity` bytes, of which `held_bytes` are held. `arena`: in memory of this machine; None if it has none to
    `share`, and all is in Ray's store."""

    def __init__(self, instance: Instance, share: bool) -> None:
        self.capacity, self.held_bytes = instance.capacity, 0
        self._memory = memory_of(instance.capacity) if share else None
        self.arena = None if self._memory is None else Arena(self._memory.where)
        self.readers = Readers()
        self._put, self._full = instance.ray.put, instance.full

    def put(self, value: Any) -> Held:
        """See Transport."""
        n_bytes = size(value)
        if self.held_bytes + n_bytes > self.capacity:
            raise self.no_room(f"{n_bytes:,} bytes to be added")
        if self.arena is not None:
            try:
                with uninterrupted():  # else room could be taken that nobody has
                    return Held(n_bytes, self, shared=self.arena.put(value))
            except StoreFullError as error:
                raise self.no_room(error) from None
        until = time.monotonic() + FREED_SECONDS
        while True:
            try:
                return Held(n_bytes, self, ref=self._put(value))
            except self._full as error:
                if time.monotonic() > until:
                    raise self.no_room(error) from None
            time.sleep(0.005)

    def for_ray(self, held: Held | Lent) -> Any:
        """What is shared on this machine, as Ray gives it to others: held values once, also if several ask."""
        if isinstance(held, Lent):
            return self._put(self.readers.read(held.shared, held))
        if held.ref is None:
            assert held.shared is not None
            held.ref = self._put(self.readers.read(held.shared))
        return held.ref

    def free(self, shared: Shared) -> None:
        """Let go of what was put in shared memory."""
        if self.arena is not None:
            with uninterrupted():
                self.arena.free(shared.block)

    def no_room(self, why: object) -> StoreFullError:
        """What is raised when it is full."""
        return no_room(why, self.capacity, self.held_bytes)


class Held:
    """A value that processes read: in memory that this machine shares, and in Ray's store when one on another machine
    asks for it. It goes when this does."""

    __slots__ = ("n_bytes", "ref", "shared", "store")

    def __init__(self, n_bytes: int, store: Store, *, ref: Any = None, shared: Shared | None = None) -> None:
        self.n_bytes, self.store, self.ref, self.shared = n_bytes, store, ref, shared
        store.held_bytes += n_bytes

    def __del__(self) -> None:
        self.store.held_bytes -= self.n_bytes
        if self.shared is not None:
            self.store.free(self.shared)
