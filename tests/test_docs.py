"""Everything the documentation shows runs, and prints what it says."""

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType

import pytest

import symopt
from symopt.backends.cuda.cupydevice import CupyDevice
from symopt.cupyarrays import CupyPlace
from symopt.emulatedarrays import emulated_gpus

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python( gpu)?\n(.*?)^```$", re.M | re.S)
NEEDS_GPU = re.compile(r"torch|cupy\.cuda|step\(")
GPU_PAGES = [page for page in PAGES if "```python gpu" in page.read_text()]
SAID = re.compile(r"print\(.*\)  # -> (.*)$", re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    """Blocks of a page share their names, in order; `print(...)  # -> text` says what is printed."""
    fences = re.findall(r"^```(\S.*)", page.read_text(), re.M)
    assert set(fences) <= {"python", "python gpu"}, f"{page.name}: only these are run; leave others untagged"
    run_blocks(page, tmp_path, lambda gpu, block: not gpu)


@pytest.mark.parametrize("page", GPU_PAGES, ids=lambda p: p.name)
def test_gpu_blocks_run_on_emulated_gpus(
    page: Path, tmp_path: Path, cxx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page says cupy, an emulated GPU's arrays and functions; what needs torch or a stream is left out."""
    with emulated_gpus(1) as (place,):
        monkeypatch.setitem(sys.modules, "cupy", place.xp)
        run_blocks(page, tmp_path, lambda gpu, block: gpu and not NEEDS_GPU.search(block))


@pytest.mark.gpu
@pytest.mark.parametrize("page", GPU_PAGES, ids=lambda p: p.name)
def test_gpu_blocks_run(page: Path, tmp_path: Path) -> None:
    if NEEDS_GPU.search(page.read_text()):
        pytest.importorskip("torch")
    run_blocks(page, tmp_path, lambda gpu, block: gpu)


def test_the_page_on_gpus_names_all_that_only_a_gpu_reaches() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text()
    for kind in (CupyDevice, CupyPlace):
        methods = [name for name, value in vars(kind).items() if isinstance(value, FunctionType)]
        assert len(methods) > 8
        assert not [name for name in methods if f"`{name}`" not in text]


def run_blocks(page: Path, where: Path, wanted: Callable[[bool, str], bool]) -> None:
    """The blocks of a page that are wanted, told by their mark and text; all must at least be Python."""
    text = page.read_text()
    names: dict[str, object] = {"__name__": "example"}
    with contextlib.chdir(where):
        for gpu, block in BLOCK.findall(text):
            printed = io.StringIO()
            line = text[: text.index(block)].count("\n")
            code = compile("\n" * line + block, os.fspath(page), "exec")
            if not wanted(bool(gpu), block):
                continue
            with contextlib.redirect_stdout(printed):
                exec(code, names)
            output = printed.getvalue().splitlines()
            for expected in SAID.findall(block):
                assert expected in output, f"{page.name}:{line}: {expected!r} is not among {output}"


def modules() -> Iterator[str]:
    for package in (symopt, symopt.ops):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


@pytest.mark.parametrize("name", sorted(set(modules())))
def test_docstring_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
