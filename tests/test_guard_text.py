"""The code of kernels with a guard: reviewed as text, and compiled for GPUs that are not there."""

import re
import zlib
from pathlib import Path

import pytest
from cuda_checks import local, misrounded
from cuda_kernels import all_kernels, op_kernels
from test_cuda_text import is_exact

from symopt.backends.cuda.nvrtc import compile_cuda
from symopt.codegen.cuda.text import cuda_text, guarding_text, prelude
from symopt.codegen.guard import Guard
from symopt.codegen.llvm import module_text
from symopt.forms import get_op
from symopt.passes.ir import Kernel

GUARDS = ("watched", "dropped")


def guard_of(kernel: Kernel, kind: str) -> Guard:
    """All that a kernel stores is tested, and stored or not."""
    stored = tuple(sorted({b for _, b in kernel.stores}))
    return Guard(stored, stored if kind == "dropped" else ())


def check_golden(path: str, text: str, request: pytest.FixtureRequest) -> None:
    golden = Path(__file__).parent / "golden" / path
    text = re.sub(r"(\.py):\d+", r"\1", text)  # lines move
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("kind", GUARDS)
def test_llvm_text(kind: str, request: pytest.FixtureRequest) -> None:
    (kernel,) = op_kernels(get_op("adam_update"), "dense", "float32")
    text = module_text(kernel, guard_of(kernel, kind))
    assert ("store float" in text) == (kind == "watched")
    check_golden(f"guard_llvm_{kind}.txt", text, request)


@pytest.mark.parametrize("kind", GUARDS)
def test_cuda_text(kind: str, request: pytest.FixtureRequest) -> None:
    (kernel,) = op_kernels(get_op("group_adagrad_update"), "lazy", "float32")
    text = cuda_text(kernel, guard_of(kernel, kind))[0][len(prelude()) :]
    own = text[text.index("struct alignas") :]  # what all kernels with a guard begin with is left out
    assert ("store_one(" in own) == (kind == "watched")
    check_golden(f"guard_cuda_{kind}.txt", own, request)


@pytest.mark.parametrize("kind", GUARDS)
def test_kernels_with_a_guard_compile(kind: str, nvrtc: None, request: pytest.FixtureRequest) -> None:
    """A sample of those of all ops; with --all-kernels all of them."""
    everything = request.config.getoption("--all-kernels")
    wrong, count = [], 0
    for name, kernel in all_kernels().items():
        if not everything and zlib.crc32(f"{name}{kind}".encode()) % 60:
            continue
        text, names = cuda_text(kernel, guard_of(kernel, kind))
        machine = compile_cuda(text, "sm_90")
        ptx = compile_cuda(text, "sm_90", ptx=True).image.decode()
        count += 1
        assert set(machine.resources) == set(names)
        wrong += [f"{name}: {r}" for r in machine.resources.values() if r.stack or r.spill]
        wrong += [f"{name}: {one}" for one in local(ptx) + (misrounded(ptx) if is_exact(kernel) else [])]
    assert not wrong, "\n".join(wrong[:40])
    assert count > 10


def test_the_kernels_around_a_step_compile(nvrtc: None) -> None:
    text, names = guarding_text()
    assert set(compile_cuda(text, "sm_90").resources) == set(names)
