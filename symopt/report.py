"""What a bound graph is and does, as text and as a networkx graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import config
from .backends.base import Memory
from .backends.jit import assembly
from .backends.launch import module_of
from .backends.scratch import listed_in, scratch_bytes
from .codegen.cuda.text import cuda_text
from .codegen.nodes import SIZES
from .codegen.text import kernel_text
from .errors import AttributeValueError
from .expr import Node
from .passes.ir import LIBRARY, LISTED, Instance, Kernel, Program
from .passes.traffic import NOTHING, Listed, bytes_moved


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


def summary(order: Sequence[Node], program: Program, memory: Memory, n_strided: int) -> str:
    """The step in a few lines: how much graph, which kernels, how many bytes."""
    n_ops = sum(1 for n in order if not n.is_variable and n.op != "_pick")
    n_variables = sum(1 for n in order if n.is_variable)
    lines = [
        f"{_count(n_ops, 'node')} on {_count(n_variables, 'variable')}, {_count(len(program.launches), 'launch', 'es')}"
    ]
    width = max((len(launch.kernel.name) for launch in program.launches), default=6)
    lines.append(f"  {'kernel':<{width}}  {'domain':<10}  tensors    elements       bytes")
    total = scratch = 0
    for launch in program.launches:
        kernel, domains = launch.kernel, [i.domain for i in launch.instances]
        listed = [_listed(kernel, i, memory) for i in launch.instances]
        pairs = list(zip(domains, listed, strict=True))
        moved = sum(bytes_moved(kernel, *pair) for pair in pairs)
        elements = sum(_elements(_domain_of(kernel, *pair)) for pair in pairs)
        total += moved
        scratch += scratch_bytes(kernel, domains, listed, config.num_threads())
        name, count, domain = launch.kernel.name, len(launch.instances), _domain(launch.kernel)
        lines.append(f"  {name:<{width}}  {domain:<10}  {count:>7}  {elements:>10,}  {_bytes(moved):>10}")
    own = sum(a.nbytes for k, a in memory.arrays.items() if isinstance(k, int))
    lines.append(f"bytes moved per step: {_bytes(total)}")
    lines.append(f"buffers of the executor: {_bytes(own)}; scratch: {_bytes(scratch)}")
    if program.lowered.host_calls:
        lines.append(f"numbers computed on the host: {len(program.lowered.host_calls)}")
    for value, name in program.copies:
        lines.append(
            f"copied at the end, because others read it during the step: {name} ({_bytes(_size_bytes(value))})"
        )
    if n_strided:
        lines.append(
            f"copied before each step, because they are strided views: {_count(n_strided, 'argument')}"
        )
    return "\n".join(lines)


def _listed(kernel: Kernel, instance: Instance, memory: Memory) -> Listed:
    """What the sparse gradient of an instance lists now."""
    name = instance.values[kernel.sparse].variable if kernel.sparse >= 0 else None
    return listed_in(memory.sparse[name]) if name in memory.sparse else NOTHING


def _domain_of(kernel: Kernel, domain: tuple[int, ...], listed: Listed) -> tuple[int, ...]:
    """The shape an instance runs over: of a LISTED kernel the rows there are."""
    return (listed.distinct, *domain[1:]) if kernel.mode == LISTED else domain


def _domain(kernel: Kernel) -> str:
    if kernel.mode != "dense":
        return kernel.mode
    return "rows" if kernel.rows else "elements"


def source(program: Program, form: str) -> str:
    """Every distinct kernel's code."""
    kernels = {id(launch.kernel): launch.kernel for launch in program.launches}.values()
    makers: dict[str, Callable[[Kernel], str]] = {
        "text": kernel_text,
        "llvm": _llvm,
        "cuda": _cuda,
        "asm": lambda k: _llvm(k) if k.mode == LIBRARY else assembly(_llvm(k)),
    }
    if form not in makers:
        raise AttributeValueError(f"source form {form!r} must be one of {', '.join(makers)}")
    return "\n\n".join(makers[form](kernel) for kernel in kernels)


def _llvm(kernel: Kernel) -> str:
    return _commented(kernel, ";") if kernel.mode == LIBRARY else module_of(kernel)


def _cuda(kernel: Kernel) -> str:
    return _commented(kernel, "//") if kernel.mode == LIBRARY else cuda_text(kernel)[0]


def _commented(kernel: Kernel, sign: str) -> str:
    """What a call of a library does, among code."""
    return "\n".join(f"{sign} {line}" for line in kernel_text(kernel).splitlines()) + "\n"


def _elements(domain: tuple[int, ...]) -> int:
    size = 1
    for n in domain:
        size *= n
    return size


def _size_bytes(value: Any) -> int:
    return _elements(value.shape) * SIZES[value.dtype]


def _count(n: int, what: str, plural: str = "s") -> str:
    return f"{n:,} {what}{'' if n == 1 else plural}"


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
