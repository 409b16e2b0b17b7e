"""Where a graph is bound: a device type and a number."""

from __future__ import annotations

from .errors import DeviceError

DEVICE_TYPES = ("cpu", "gpu")


class Context:
    """A device. DeviceError for a device type that does not exist.

    >>> Context("cpu") == cpu(0)
    True
    """

    __slots__ = ("_place",)

    def __init__(self, device_type: str, device_id: int = 0) -> None:
        if device_type not in DEVICE_TYPES:
            raise DeviceError(f"device type {device_type!r} must be one of {', '.join(DEVICE_TYPES)}")
        if type(device_id) is not int or device_id < 0:
            raise DeviceError(f"device_id must be an integer >= 0, got {device_id!r}")
        self._place = (device_type, device_id)

    @property
    def device_type(self) -> str:
        """ "cpu" or "gpu"."""
        return self._place[0]

    @property
    def device_id(self) -> int:
        """The number of the device among those of its type."""
        return self._place[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    @classmethod
    def as_context(cls, given: Context | str | None) -> Context:
        """The context of a Context, of "cpu", "gpu", "cpu(0)", "gpu(1)", or of None, which is cpu(0)."""
        if given is None:
            return cls("cpu")
        if isinstance(given, Context):
            return given
        if not isinstance(given, str):
            raise DeviceError(f"a context is so.cpu(), so.gpu(i) or their names, got {given!r}")
        name, bracket, number = given.removesuffix(")").partition("(")
        if bracket and not number.isdecimal():
            raise DeviceError(f"context {given!r} is not of the form 'cpu' or 'gpu(1)'")
        return cls(name, int(number) if bracket else 0)


def cpu(device_id: int = 0) -> Context:
    """The processor. The number is MXNet's; every one means the same processor."""
    return Context("cpu", device_id)


def gpu(device_id: int = 0) -> Context:
    """CUDA device `device_id`."""
    return Context("gpu", device_id)
