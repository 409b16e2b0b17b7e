"""A program as text: where its values lie, and the code of its kernels."""

from __future__ import annotations

from collections.abc import Callable

from .backends.jit import assembly
from .backends.launch import module_of
from .codegen.cuda.text import cuda_text
from .codegen.text import kernel_text
from .errors import AttributeValueError
from .passes.ir import LIBRARY, Kernel, Program


def program_text(program: Program) -> str:
    """Launches in order: how many tensors, and which value each buffer of the first one is."""
    lines = []
    for k, launch in enumerate(program.launches):
        first = launch.instances[0]
        lines.append(
            f"launch {k}: {launch.kernel.name} [{launch.kernel.mode}] on {_count(len(launch.instances), 'tensor')}"
        )
        for buffer, value in zip(launch.kernel.buffers, first.values, strict=True):
            if buffer.read or buffer.write:
                key = program.storage.get(id(value.base[0] if value.base else value))
                place = f"buffer {key}" if isinstance(key, int) else f"variable {key}" if key else "sparse"
                lines.append(f"  {buffer.name}: {value!r} in {place}")
    lines += [f"copy {value!r} to variable {name}" for value, name in program.copies]
    return "\n".join(lines)


def source(program: Program, form: str) -> str:
    """Every distinct kernel's code."""
    kernels = {id(launch.kernel): launch.kernel for launch in program.launches}.values()
    if form not in WRITERS:
        raise AttributeValueError(f"source form {form!r} must be one of {', '.join(WRITERS)}")
    return "\n\n".join(WRITERS[form](kernel) for kernel in kernels)


def _llvm(kernel: Kernel) -> str:
    return _commented(kernel, ";") if kernel.mode == LIBRARY else module_of(kernel)


def _cuda(kernel: Kernel) -> str:
    return _commented(kernel, "//") if kernel.mode == LIBRARY else cuda_text(kernel)[0]


def _commented(kernel: Kernel, sign: str) -> str:
    """What a call of a library does, among code."""
    return "\n".join(f"{sign} {line}" for line in kernel_text(kernel).splitlines()) + "\n"


def _count(n: int, what: str, plural: str = "s") -> str:
    return f"{n:,} {what}{'' if n == 1 else plural}"


# How the code of a kernel is written, by form. A call of a library has no code: what it does is said in a comment.
WRITERS: dict[str, Callable[[Kernel], str]] = {
    "text": kernel_text,
    "llvm": _llvm,
    "cuda": _cuda,
    "asm": lambda kernel: _llvm(kernel) if kernel.mode == LIBRARY else assembly(_llvm(kernel)),
}
