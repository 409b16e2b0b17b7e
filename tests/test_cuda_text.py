"""CUDA text compiled for real, without a GPU: no spills, only IEEE arithmetic, 16-byte loads; and as text."""

import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cuda_checks import generic, local, misrounded, wide
from cuda_kernels import all_kernels, op_kernels

import symopt as so
from symopt import sym
from symopt.backends.cuda.nvrtc import compile_cuda
from symopt.codegen.cuda.text import cuda_text, prelude, service_text
from symopt.expr import toposort
from symopt.forms import get_op
from symopt.passes.ir import Kernel
from symopt.prims import PRIMS

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SAMPLE = 25  # one kernel in so many is compiled in the usual run
STREAMING = {
    "adam_update-dense-float32-0",
    "adam_update-lazy-float32-0",
    "group_adagrad_update-dense-float16-0",
}


def is_exact(kernel: Kernel) -> bool:
    """Whether a formula has only primitives that round as IEEE says, each an instruction of its own."""
    roots = [root for stores in (kernel.stores, kernel.widened, kernel.absent) for root, _ in stores]
    return all(PRIMS[n.op].exact and n.op != "fmod" for n in toposort(roots) if n.op in PRIMS)


def chosen(config: pytest.Config) -> Iterator[tuple[str, Kernel, str]]:
    everything = config.getoption("--all-kernels")
    for name, kernel in all_kernels().items():
        number = zlib.crc32(name.encode())
        if everything or name in STREAMING:
            yield from ((name, kernel, one) for one in ARCHITECTURES)
        elif number % SAMPLE == 0:
            yield name, kernel, ARCHITECTURES[number // SAMPLE % len(ARCHITECTURES)]


def faults(name: str, kernel: Kernel, architecture: str) -> list[str]:
    """What is wrong with the code of a kernel."""
    text, names = cuda_text(kernel)
    machine = compile_cuda(text, architecture)
    ptx = compile_cuda(text, architecture, ptx=True).image.decode()
    assert set(machine.resources) == set(names)
    found = [f"{k}: {r}" for k, r in machine.resources.items() if r.stack or r.spill]
    # Of a number per row or tensor the compiler may forget which memory it is in; of what is read in bulk it must not.
    found += local(ptx) + [one for one in generic(ptx) if ".v2" in one or ".v4" in one]
    if is_exact(kernel):
        found += misrounded(ptx)
    if not wide(ptx, "ld"):
        found.append("no load of 16 bytes")
    return [f"{name} for {architecture}: {one}" for one in found]


def test_kernels_compile_to_what_was_meant(
    nvrtc: None, request: pytest.FixtureRequest, record_property: Any
) -> None:
    """Sampled; with --all-kernels each kernel of every op, dtype and storage, for every architecture."""
    work = list(chosen(request.config))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda one: faults(*one), work))
    record_property("kernels compiled", len(work))
    wrong = [fault for found in results for fault in found]
    assert not wrong, "\n".join(wrong[:40])
    assert len(work) > 50


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_service_kernels_compile(nvrtc: None, architecture: str) -> None:
    text, names = service_text()
    machine = compile_cuda(text, architecture)
    assert set(machine.resources) == set(names)
    assert not any(r.stack or r.spill for r in machine.resources.values())


@pytest.mark.parametrize("name", ["adam_update-dense-float16-0", "group_adagrad_update-lazy-float32-0"])
def test_text_of_kernels(name: str, request: pytest.FixtureRequest) -> None:
    """Golden text, for review as code; what all kernels begin with is left out."""
    op, storage, dtype, k = name.split("-")
    kernel = list(op_kernels(get_op(op), storage, dtype))[int(k)]
    text = re.sub(r"(\.py):\d+", r"\1", cuda_text(kernel)[0][len(prelude()) :])  # lines move
    path = Path(__file__).parent / "golden" / f"cuda_{op}_{storage}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


def test_names_from_users_do_not_reach_cuda_text() -> None:
    nasty = 'w"\n}; asm("exit;"); //'
    w = sym.var(nasty)
    node = sym.sgd_update(w, sym.var("g"), lr=0.1, out=w, name="*/ evil")
    shapes: Any = {nasty: (3,)}
    text = node.simple_bind(so.cpu(), engine="reference", **shapes).source("cuda")
    assert "asm(" not in text[len(prelude()) :] and "evil" not in text
