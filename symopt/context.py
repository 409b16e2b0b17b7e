"""Where a graph is bound: a device type and a number."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import DeviceError

DEVICE_TYPES = ("cpu", "gpu")


@dataclass(frozen=True)
class Context:
    """A device. DeviceError for a device type that does not exist.

    >>> Context("cpu") == cpu(0)
    True
    """

    device_type: str
    device_id: int = 0

    def __post_init__(self) -> None:
        if self.device_type not in DEVICE_TYPES:
            raise DeviceError(f"device type {self.device_type!r} must be one of {', '.join(DEVICE_TYPES)}")
        if type(self.device_id) is not int or self.device_id < 0:
            raise DeviceError(f"device_id must be an integer >= 0, got {self.device_id!r}")

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
