"""Everything the documentation shows runs, and prints what it says."""

import doctest
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

import pytest
from pages import ROOT, blocks_of, run_blocks

import symopt
from symopt.backends.cuda.cupydevice import CupyDevice
from symopt.cupyarrays import CupyPlace
from symopt.emulatedarrays import emulated_gpus

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS_GPU = re.compile(r"torch|cupy\.cuda|step\(")
BLOCKS = {page: list(blocks_of(page)) for page in PAGES}
CODE_PAGES = [
    page for page in PAGES if any(b.is_run and b.mark not in ("gpu", "torch") for b in BLOCKS[page])
]
TORCH_PAGES = [page for page in PAGES if any(block.mark == "torch" for block in BLOCKS[page])]
GPU_PAGES = [page for page in PAGES if any(block.mark == "gpu" for block in BLOCKS[page])]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.usefixtures("library_ops")
@pytest.mark.parametrize("page", sorted({*CODE_PAGES, *TORCH_PAGES}), ids=name_of)
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    if page in TORCH_PAGES:
        pytest.importorskip(
            "torch", reason="torch is not installed here: `make torch` installs and runs this"
        )
    left_out = {"gpu"} if find_spec("ray") else {"gpu", "ray"}
    assert run_blocks(page, tmp_path, lambda block: block.mark not in left_out)


def test_hardly_any_code_is_not_run() -> None:
    """What only installs, or needs what no test has, says so and why."""
    marks = [f"{name_of(p)}:{b.line}" for p in PAGES for b in BLOCKS[p] if b.mark.startswith("not run")]
    assert len(marks) <= sum(b.is_run for p in PAGES for b in BLOCKS[p]) // 10, marks


@pytest.mark.parametrize("page", GPU_PAGES, ids=name_of)
def test_gpu_blocks_run_on_emulated_gpus(
    page: Path, tmp_path: Path, cxx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page says cupy, an emulated GPU's arrays and functions; what needs torch or a stream is left out."""
    with emulated_gpus(1) as (place,):
        monkeypatch.setitem(sys.modules, "cupy", place.xp)
        run_blocks(page, tmp_path, lambda block: block.mark == "gpu" and not NEEDS_GPU.search(block.text))


@pytest.mark.gpu
@pytest.mark.parametrize("page", GPU_PAGES, ids=name_of)
def test_gpu_blocks_run(page: Path, tmp_path: Path) -> None:
    if NEEDS_GPU.search(page.read_text()):
        pytest.importorskip("torch")
    run_blocks(page, tmp_path, lambda block: block.mark == "gpu")


def test_the_page_on_gpus_names_all_that_only_a_gpu_reaches() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text()
    for kind in (CupyDevice, CupyPlace):
        methods = [name for name, value in vars(kind).items() if isinstance(value, FunctionType)]
        assert len(methods) > 8
        assert not [name for name in methods if f"`{name}`" not in text]


def modules() -> Iterator[str]:
    for package in (symopt, symopt.ops):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


NEEDS_TORCH = re.compile(r"symopt\.torch\.(gradients|loading|optimizer|part|planning|counters|tensors)")


@pytest.mark.parametrize("name", sorted({*modules()} - {"symopt.__main__"}))
def test_docstring_examples_run(name: str) -> None:
    if NEEDS_TORCH.fullmatch(name):
        pytest.importorskip(
            "torch", reason="torch is not installed here: `make torch` installs and runs this"
        )
    assert doctest.testmod(importlib.import_module(name)).failed == 0
