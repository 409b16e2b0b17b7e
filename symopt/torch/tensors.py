"""torch's tensors as what a step is bound to: their memory, and rows of sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..arrays import Array
from ..context import gpu
from ..dtypes import to_numpy
from ..errors import ArrayError, DeviceError, DTypeError, StorageError
from ..places import HOST, Place, place_of
from ..sparse import RowSparseArray

NAMES = {
    torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64",
    torch.complex64: "complex64", torch.complex128: "complex128",
}  # fmt: skip
_BITS = {2: "<i2", 4: "<i4", 8: "<i8", 16: "<c16"}  # carry the bits of any dtype of that size


class _Memory:
    """Memory of a tensor that nobody keeps alive here: whoever reads it has looked that it is still there."""

    def __init__(self, protocol: str, address: int, shape: tuple[int, ...], bits: str) -> None:
        self.__dict__[protocol] = {"data": (address, False), "shape": shape, "typestr": bits, "version": 3}


def place_of_device(device: torch.device) -> Place:
    """Where the tensors of a device are. DeviceError for what is neither the processor nor an NVIDIA GPU."""
    if device.type == "cpu":
        return HOST
    if device.type == "cuda" and torch.version.cuda:
        return place_of(gpu(device.index or 0))
    raise DeviceError(f"so.torch updates tensors on the processor and on NVIDIA GPUs, got one on {device}")


def memory(place: Place, address: int, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of `place` on memory that stays the tensor's: the array does not keep it."""
    kind = to_numpy(dtype)
    if not math.prod(shape):
        return place.empty(shape, kind)
    protocol = "__array_interface__" if place is HOST else "__cuda_array_interface__"
    with place.current():
        found: Array = place.xp.asarray(_Memory(protocol, address, shape, _BITS[kind.itemsize])).view(kind)
    return found.reshape(shape)


def dtype_of(tensor: torch.Tensor, what: str) -> str:
    """The name of a tensor's dtype. DTypeError for one that no rule stores."""
    try:
        return NAMES[tensor.dtype]
    except KeyError:
        raise DTypeError(f"{what} is {tensor.dtype}: use one of {', '.join(NAMES.values())}") from None


def check_updatable(tensor: torch.Tensor, what: str) -> None:
    """ArrayError, StorageError or DTypeError for a parameter that cannot be updated where it lies."""
    dtype_of(tensor, what)
    if tensor.layout != torch.strided:
        raise StorageError(f"{what} has the layout {tensor.layout}: parameters must be dense")
    if not tensor.is_contiguous():
        raise ArrayError(
            f"{what} has strides {tuple(tensor.stride())} for shape {tuple(tensor.shape)}, and is updated in place as "
            "contiguous memory: give p.data = p.data.contiguous() before the first step"
        )
    if tensor.is_conj() or tensor.is_neg():
        raise ArrayError(
            f"{what} is a lazy conjugate or negative: give p.data = p.data.resolve_conj().resolve_neg()"
        )


def is_pair(tensor: torch.Tensor, pairs: bool) -> bool:
    """Whether a tensor is bound as an array of two reals per element."""
    return pairs and tensor.is_complex()


def bound_type(tensor: torch.Tensor, pairs: bool, what: str) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a tensor as it is bound. `pairs`: complex numbers as two reals, which is how torch steps."""
    shape, dtype = tuple(tensor.shape), dtype_of(tensor, what)
    if is_pair(tensor, pairs):
        return (*shape, 2), "float32" if dtype == "complex64" else "float64"
    return shape, dtype


def rows_of(grad: torch.Tensor, place: Place, what: str) -> RowSparseArray:
    """The rows of a sparse gradient, on its own memory; repeated ones stay repeated. StorageError for other layouts."""
    if grad.layout != torch.sparse_coo or grad.sparse_dim() != 1:
        dims = f" with {grad.sparse_dim()} sparse axes" if grad.layout == torch.sparse_coo else ""
        raise StorageError(f"the gradient of {what} has the layout {grad.layout}{dims}: give grad.to_dense(), or one "
                           "whose first axis alone is sparse")  # fmt: skip
    values, indices = grad._values().detach(), grad._indices()[0]
    data = place.view(values.resolve_conj().contiguous(), f"the gradient of {what}")
    rows = place.view(indices.contiguous(), f"the rows of the gradient of {what}")
    return RowSparseArray(data, rows, tuple(grad.shape), canonical=grad.is_coalesced())


def tensor_like(array: Array, device: torch.device, pair: bool, axis: int | None) -> torch.Tensor:
    """A new tensor of an array's values; complex if its last axis is `pair`s, with one axis more where `axis` says."""
    name = array.dtype.name
    tensor = torch.empty(tuple(array.shape), dtype=getattr(torch, name), device=device)
    place = place_of_device(tensor.device)
    with place.current():
        memory(place, tensor.data_ptr(), tuple(array.shape), name)[...] = array
    if pair:
        tensor = torch.view_as_complex(tensor)
    return tensor if axis is None else tensor.unsqueeze(axis)


def addresses(tensors: Sequence[torch.Tensor]) -> list[int]:
    """Where tensors begin. TypeError or RuntimeError if one is missing or sparse."""
    return list(map(torch.Tensor.data_ptr, tensors))
