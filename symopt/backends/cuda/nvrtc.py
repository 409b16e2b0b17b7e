"""CUDA C text to machine code or PTX, by NVRTC through CuPy. Needs neither a GPU nor its driver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...cupyarrays import INSTALL, import_cupy
from ...errors import CompileError, DependencyError, DeviceError

OPTIONS = (
    "-std=c++17",
    # Each of + - * / sqrt rounds on its own, as IEEE 754 has it. CuPy's own compilations always flush denormals
    # (cupy/cupy#9576), so they are no use here.
    "-fmad=false",
    "-ftz=false",
    "-prec-div=true",
    "-prec-sqrt=true",
    "--ptxas-options=-v",  # writes Resources to the log; no instruction depends on it
)
_NAME = "kernels.cu"  # of the text, in NVRTC's messages


class Resources(NamedTuple):
    """What one kernel takes: registers of a thread; bytes of a thread's stack and of registers spilled to it; bytes of
    a block's shared memory."""

    registers: int
    stack: int
    spill: int
    shared: int


class Compiled(NamedTuple):
    """An image for `cuModuleLoadData`, machine code (a whole ELF file) or PTX; and what each kernel takes, known of
    machine code only."""

    image: bytes
    resources: Mapping[str, Resources]


def compile_cuda(text: str, architecture: str, ptx: bool = False) -> Compiled:
    """Compile for one architecture ("sm_90"), or to PTX that drivers finish for it and all later ones.

    Any number of threads may compile at once. CompileError quotes NVRTC and the line; DependencyError without NVRTC.
    """
    nvrtc = load_nvrtc()
    virtual = architecture.replace("sm_", "compute_")
    program = nvrtc.createProgram(text, _NAME, (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"-arch={virtual if ptx else architecture}"))
        if ptx:
            return Compiled(nvrtc.getPTX(program), {})
        # CuPy takes the last byte of an ELF file for the end of a string and drops it; it is zero.
        return Compiled(nvrtc.getCUBIN(program) + b"\0", _resources(nvrtc.getProgramLog(program)))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise CompileError(_refusal(text, architecture, log or str(error))) from error
    finally:
        nvrtc.destroyProgram(program)


def load_nvrtc() -> Any:
    """`cupy.cuda.nvrtc`, its library found. DependencyError otherwise."""
    nvrtc = import_cupy().cuda.nvrtc
    try:
        nvrtc.getVersion()
    except RuntimeError as error:  # cuda.pathfinder.DynamicLibNotFoundError is one
        raise DependencyError(f"CuPy finds no NVRTC library to compile CUDA code with: {INSTALL}") from error
    return nvrtc


def nvrtc_version() -> tuple[int, int]:
    """Major and minor version of the compiler."""
    major, minor = load_nvrtc().getVersion()
    return major, minor


def supported() -> tuple[int, ...]:
    """The compute capabilities that the compiler knows: (75, 80, ...)."""
    return tuple(load_nvrtc().getSupportedArchs())


def architecture_for(capability: str, supported: Iterable[int]) -> tuple[str, bool]:
    """What to compile for, and whether to PTX, for a device of compute capability "90" (9.0).

    Machine code runs on later minor versions of its major version. A device newer than all the compiler knows, or of
    a major version that it does not know, gets PTX. DeviceError for one older than all.
    """
    device, known = int(capability), sorted(supported)
    older = [one for one in known if one <= device]
    if not older:
        raise DeviceError(
            f"the device has compute capability {_dotted(device)}; this NVRTC compiles for {_dotted(known[0])} and "
            "later: use an older CUDA (pip install symopt[cuda12]), or so.cpu()"
        )
    best = older[-1]
    if best // 10 != device // 10 or device > known[-1]:
        return f"compute_{best}", True
    return f"sm_{best}", False


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"


_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


def _resources(log: str) -> dict[str, Resources]:
    """Read from ptxas's lines. What functions called by a kernel take follows it and counts as the kernel's."""
    found: dict[str, Resources] = {}
    name = ""
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            name = entry[1]
            found[name] = Resources(0, 0, 0, 0)
        elif stack := _STACK.search(line):
            now = found[name]
            frame, stores, loads = map(int, stack.groups())
            found[name] = now._replace(stack=max(now.stack, frame), spill=now.spill + stores + loads)
        elif used := _USED.search(line):
            shared = _SHARED.search(line)
            found[name] = found[name]._replace(registers=int(used[1]), shared=int(shared[1]) if shared else 0)
    return found


def _refusal(text: str, architecture: str, log: str) -> str:
    """The compiler's first errors, and the line of the text that the first is about."""
    errors = [line for line in log.splitlines() if "error" in line] or log.splitlines()
    message = f"NVRTC does not compile the code for {architecture}:\n    " + "\n    ".join(errors[:3])
    place = re.search(rf"{re.escape(_NAME)}\((\d+)\)", errors[0])
    lines = text.splitlines()
    if place and int(place[1]) <= len(lines):
        message += f"\n  line {place[1]}: {lines[int(place[1]) - 1].strip()}"
    return message
