"""The launches of a program as they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..codegen.text import DOMAINS
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, Kernel, Launch
from ..passes.traffic import bytes_moved
from ..planned import Planned
from ..report import WRITERS
from ..show.kernels import kernel_lines
from .model import KernelItem

FORMS = ("text", "llvm", "cuda")


class Code(Mapping[str, str]):
    """A kernel's code by form, written when it is asked for."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._forms = ("text",) if kernel.mode == LIBRARY else FORMS

    def __getitem__(self, form: str) -> str:
        if form not in self._forms:
            raise KeyError(form)
        return WRITERS[form](self._kernel)

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def __len__(self) -> int:
        return len(self._forms)


def kernel_items(planned: Planned) -> tuple[KernelItem, ...]:
    """Every launch of the program in order."""
    return tuple(_item(k, launch, planned) for k, launch in enumerate(planned.needed().launches))


def _item(number: int, launch: Launch, planned: Planned) -> KernelItem:
    kernel = launch.kernel
    domains = [planned.domain(kernel, instance) for instance in launch.instances]
    moved = (bytes_moved(kernel, i.domain, planned.rows_of(kernel, i)) for i in launch.instances)
    return KernelItem(
        number,
        kernel.name,
        over(kernel),
        len(launch.instances),
        sum(map(size_of, domains)),
        sum(moved),
        kernel_lines(kernel),
        Code(kernel),
        planned.seconds.get(number),
        planned.predicted[number] if planned.predicted else None,
    )


def over(kernel: Kernel) -> str:
    """What a kernel does its formula for."""
    return "each row" if kernel.mode == "dense" and kernel.rows else DOMAINS[kernel.mode]
