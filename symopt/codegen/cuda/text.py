"""A kernel as CUDA C: a pure function of the kernel, and the same text for every device."""

from __future__ import annotations

from functools import cache
from importlib import resources

from ...expr import Extent
from ...passes.ir import LISTED, REDUCE, STANDARD, Kernel
from ..guard import Guard
from .elements import Elements
from .layout import COPY_FIELDS, LISTING_FIELDS, NONFINITE, defines, struct_checks
from .rows import GradientRows, Rows, finish
from .template import Template


def cuda_text(kernel: Kernel, guard: Guard | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a kernel and the names of its entry points: `run`, and `finish` if it adds up partial results.
    `guard`: what it tests."""
    template: type[Template]
    if kernel.mode in (LISTED, STANDARD):
        template = GradientRows
    else:
        template = Rows if kernel.rows or kernel.mode == REDUCE else Elements
    texts = [prelude(), *([_file("guard.cuh")] if guard else []), template(kernel, guard).text()]
    sums = [(root, b) for root, b in kernel.stores if kernel.buffers[b].extent == Extent.TENSOR]
    if kernel.mode != REDUCE or not sums:
        return "\n".join(texts) + "\n", ("run",)
    texts.append(finish(kernel, tuple(sums), guard))
    return "\n".join(texts) + "\n", ("run", "finish")


@cache
def prelude() -> str:
    """What every kernel's text begins with."""
    return defines() + _file("prelude.cuh")


SERVICES = ("check", "mark", "copy", "column_sum_float32", "column_sum_float64")


GUARDING = ("decide", "settle")


@cache
def guarding_text() -> tuple[str, tuple[str, ...]]:
    """The kernels of every program with a guard."""
    return f"{prelude()}#define NONFINITE {NONFINITE}ull\n{_file('guarding.cuh')}\n", GUARDING


@cache
def service_text() -> tuple[str, tuple[str, ...]]:
    """The kernels of every program: what is done to row_sparse gradients before a step, and copies after it."""
    layouts = [struct_checks("Listing", LISTING_FIELDS), struct_checks("Copy", COPY_FIELDS)]
    return "\n".join([prelude(), _file("service.cuh"), *layouts]) + "\n", SERVICES


RUNS = ("sum_runs_float32", "sum_runs_float64")


@cache
def runs_text() -> tuple[str, tuple[str, ...]]:
    """The kernels that add up rows of equal ids."""
    return f"{prelude()}{_file('runs.cuh')}\n", RUNS


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()
