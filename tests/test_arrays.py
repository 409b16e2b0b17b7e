"""Arrays of other libraries are seen without a copy, or refused with the remedy; contexts."""

from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

from symopt.arrays import as_array
from symopt.context import Context, cpu, gpu
from symopt.errors import ArrayError, DeviceError, DTypeError, StorageError, SymoptError
from symopt.overlap import addresses, check_overlap
from symopt.sparse import zeros

FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


class Interface:
    """Somebody's array that has nothing but `__array_interface__`."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class DLPack:
    """Somebody's array that has nothing but DLPack; `device` is what it claims to lie on."""

    def __init__(self, array: np.ndarray, device: int = 1) -> None:
        self.array = array
        self.device = device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)


class OnGPU:
    __cuda_array_interface__: ClassVar[dict[str, Any]] = {"shape": (3,)}


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("mutable", [False, True], ids=["read", "mutable"])
def test_numpy_arrays_pass_as_they_are(dtype: Any, mutable: bool) -> None:
    x = np.zeros((2, 3), dtype)
    assert as_array(x, "argument 'w'", mutable=mutable) is x


@pytest.mark.parametrize("wrap", [Interface, DLPack])
def test_protocols_are_zero_copy(wrap: Any) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    seen = as_array(wrap(x), "argument 'w'", mutable=True)
    seen[1, 2] = 50
    assert type(seen) is np.ndarray and x[1, 2] == 50


@pytest.mark.parametrize("wrap", [Interface, DLPack])
def test_protocols_say_that_memory_is_read_only(wrap: Any) -> None:
    x = np.zeros(3)
    x.flags.writeable = False
    assert not as_array(wrap(x), "argument 'g'", mutable=False).flags.writeable
    with pytest.raises(ArrayError, match="argument 'w' is read-only"):
        as_array(wrap(x), "argument 'w'", mutable=True)


def test_memory_maps_are_updated_in_the_file(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "w", np.float32, "w+", shape=(4,))
    seen = as_array(x, "argument 'w'", mutable=True)
    assert type(seen) is np.ndarray and np.shares_memory(seen, x)


def test_strides_are_for_reading_only() -> None:
    x = np.zeros((4, 6))[:, ::2]
    assert as_array(x, "argument 'g'", mutable=False) is x
    with pytest.raises(ArrayError, match=r"argument 'w' is not C-contiguous .* np.ascontiguousarray"):
        as_array(x, "argument 'w'", mutable=True)


def test_a_number_cannot_be_updated() -> None:
    assert as_array(np.float32(3), "argument 'lr'", mutable=False) == 3
    with pytest.raises(ArrayError, match="read-only"):
        as_array(np.float32(3), "argument 'w'", mutable=True)
    assert as_array(np.array(3.0), "argument 'w'", mutable=True).shape == ()


def test_memory_that_is_not_aligned_is_for_reading_only() -> None:
    x = np.zeros(9, np.uint8)[1:].view(np.float64)
    assert as_array(x, "argument 'g'", mutable=False) is x
    with pytest.raises(ArrayError, match="not aligned"):
        as_array(x, "argument 'w'", mutable=True)


REFUSED: list[tuple[Any, type[SymoptError], str]] = [
    (np.zeros(3, np.int32), DTypeError, "dtype int32: use one of float16, bfloat16, float32, float64"),
    (np.zeros(3, np.bool_), DTypeError, "dtype bool"),
    (np.zeros(3, np.clongdouble), DTypeError, "dtype complex(256|192|160)"),
    (np.zeros(3, object), DTypeError, "dtype object"),
    (np.zeros(3, np.dtype("f4").newbyteorder("S")), DTypeError, "byte order"),
    (np.ma.masked_array(np.zeros(3)), ArrayError, "masked array"),
    ([1.0, 2.0], DTypeError, "must be an array, got list: give np.asarray"),
    (None, DTypeError, "must be an array, got NoneType"),
    ("w", DTypeError, "must be an array, got str"),
    (1.0, DTypeError, "must be an array, got float"),
    (OnGPU(), DeviceError, "GPU memory"),
    (DLPack(np.zeros(3), device=2), DeviceError, r"GPU memory, that of gpu\(0\)"),
    (zeros((3, 2)), StorageError, r"row_sparse .*todense"),
]


@pytest.mark.parametrize(("x", "error", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_what_does_not_fit_is_refused(x: Any, error: type[SymoptError], text: str) -> None:
    with pytest.raises(error, match=f"argument 'w' .*{text}"):
        as_array(x, "argument 'w'", mutable=False)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_torch_tensors_are_zero_copy(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(6, dtype=getattr(torch, name)).reshape(2, 3)
    seen = as_array(x, "argument 'w'", mutable=True)
    seen[1, 2] = 50
    assert seen.dtype.name == name and x[1, 2] == 50
    assert as_array(x.t(), "argument 'g'", mutable=False).shape == (3, 2)


def test_torch_tensors_that_do_not_fit_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ArrayError, match=r"argument 'w' .* x\.detach\(\)"):
        as_array(torch.nn.Parameter(torch.zeros(3)), "argument 'w'", mutable=True)
    with pytest.raises(StorageError, match="to_dense"):
        as_array(torch.zeros(3, 3).to_sparse(), "argument 'w'", mutable=False)
    with pytest.raises(DeviceError, match="meta"):
        as_array(torch.zeros(3, device="meta"), "argument 'w'", mutable=False)
    with pytest.raises(DTypeError, match="int64"):
        as_array(torch.zeros(3, dtype=torch.int64), "argument 'w'", mutable=False)


BASE = np.zeros((8, 8), np.float32)
OVERLAPS: dict[str, tuple[np.ndarray, bool, np.ndarray, bool]] = {
    "the same array twice": (BASE, True, BASE, True),
    "the same array, once read": (BASE, True, BASE, False),
    "two views of it": (BASE[:5], True, BASE[4:], True),
    "a strided view, read": (BASE[2], True, BASE[:, 3], False),
    "a reversed view, read": (BASE[2:4], True, BASE[::-1], False),
    "a broadcast view, read": (BASE[0], True, np.broadcast_to(BASE[0, :1], (9,)), False),
    "an element inside": (BASE, True, BASE[7, 7:], False),
}
APART: dict[str, tuple[np.ndarray, bool, np.ndarray, bool]] = {
    "neighbours": (BASE[:4], True, BASE[4:], True),
    "both read": (BASE, False, BASE, False),
    "empty": (BASE, True, BASE[3:3], True),
    "strides that pass each other": (BASE[2, :4], True, BASE[:, 5], False),
    "another array": (BASE, True, np.zeros(3), False),
}


@pytest.mark.parametrize("case", OVERLAPS.values(), ids=list(OVERLAPS))
@pytest.mark.parametrize("swap", [False, True])
def test_overlap_with_a_mutable_array_is_refused(case: Any, swap: bool) -> None:
    a, a_mutable, b, b_mutable = case
    entries = [("input 'w'", a, a_mutable), ("x", np.zeros(4), True), ("input 'm'", b, b_mutable)]
    with pytest.raises(ArrayError, match=r"input '.' is updated in place and shares memory with input '.'"):
        check_overlap(entries[::-1] if swap else entries)


@pytest.mark.parametrize("case", APART.values(), ids=list(APART))
def test_arrays_that_lie_apart_pass(case: Any) -> None:
    a, a_mutable, b, b_mutable = case
    check_overlap([("w", a, a_mutable), ("m", b, b_mutable)])
    check_overlap([("m", b, b_mutable), ("w", a, a_mutable)])


def test_overlap_agrees_with_comparing_every_pair() -> None:
    random = np.random.default_rng(7)
    memory = np.zeros(400, np.float32)
    refusals = 0
    for _ in range(300):
        entries = []
        for k in range(4):
            start, stop = np.sort(random.integers(0, 400, 2))
            mutable = bool(random.random() < 0.4)
            step = 1 if mutable else int(random.integers(1, 4))
            entries.append((f"a{k}", memory[start : min(stop, start + 60) : step], mutable))
        expected = any(
            np.shares_memory(a, b) and (p or q)
            for i, (_, a, p) in enumerate(entries)
            for _, b, q in entries[:i]
        )
        try:
            check_overlap(entries)
            refused = False
        except ArrayError:
            refused = True
        assert refused == expected
        refusals += refused
    assert 30 < refusals < 270


def test_addresses() -> None:
    x = np.zeros((4, 2), np.float32)
    assert (np.diff(addresses([x, x[1], x[3]])) == [8, 16]).all()
    assert addresses([]).shape == (0,)


def test_contexts() -> None:
    assert cpu() == Context.as_context(None) == Context.as_context("cpu") == Context.as_context(cpu())
    assert gpu(1) == Context.as_context("gpu(1)") != gpu() and cpu() != gpu()
    assert (repr(cpu()), repr(gpu(2))) == ("cpu(0)", "gpu(2)")
    assert len({cpu(), cpu(0), cpu(1)}) == 2


@pytest.mark.parametrize("given", ["tpu", "cpu(x)", "cpu(", 3, ("cpu", 0)])
def test_no_such_context(given: Any) -> None:
    with pytest.raises(DeviceError):
        Context.as_context(given)


def test_device_numbers_are_integers() -> None:
    for number in (-1, 1.0, True):
        with pytest.raises(DeviceError, match="device_id"):
            cpu(number)  # type: ignore[arg-type]
