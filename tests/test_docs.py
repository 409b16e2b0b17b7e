"""Everything the documentation shows runs, and prints what it says."""

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import symopt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
SAID = re.compile(r"print\(.*\)  # -> (.*)$", re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    """Blocks of a page share their names, in order; `print(...)  # -> text` says what is printed."""
    text = page.read_text()
    fences = re.findall(r"^```(\S+)", text, re.M)
    assert set(fences) <= {"python"}, f"{page.name}: only python blocks are run; leave others untagged"
    names: dict[str, object] = {"__name__": "example"}
    with contextlib.chdir(tmp_path):
        for block in BLOCK.findall(text):
            printed = io.StringIO()
            line = text[: text.index(block)].count("\n")
            code = compile("\n" * line + block, os.fspath(page), "exec")
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
