"""The pages on migration: tables made anew are those in the pages, and what is said of methods holds."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import symopt as so
from symopt import sym
from symopt.errors import NotImplementedForSymbol
from symopt.executor import Executor
from symopt.forms import find_op
from symopt.keras.rules import find_rule

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "migration").glob("*.md"))
# What a class is told, as a configuration.
CONFIGS: dict[str, dict[str, Any]] = {
    "": {},
    "momentum > 0": {"momentum": 0.9},
    "momentum > 0, nesterov=True": {"momentum": 0.9, "nesterov": True},
    "amsgrad=True": {"amsgrad": True},
    "centered=True": {"centered": True},
    "centered=True, momentum > 0": {"centered": True, "momentum": 0.9},
    "learning_rate_power given": {"learning_rate_power": -0.75},
    "two axes or more": {},
    "fewer axes": {},
    "matrices": {},
}


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "site" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_tables_are_not_stale(tables: ModuleType, page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"<!-- table (\w+)", text)) <= set(tables.TABLES)
    assert tables.filled(text) == text, "run `make docs`"


def test_every_table_is_in_a_page(tables: ModuleType) -> None:
    assert all(any(f"<!-- table {name}," in p.read_text() for p in PAGES) for name in tables.TABLES)


def test_classes_have_the_ops_that_the_page_says(tables: ModuleType) -> None:
    for name, told, kind in tables.CLASSES:
        axes = 1 if told == "fewer axes" else 2
        for generation in ("keras", "keras3"):
            op = find_op(f"{generation}_{kind}_update")
            if op is not None:
                assert find_rule(generation, name, CONFIGS[told], axes, "w").op is op
    named = {f"{c.kind}_update" for c in tables.CLASSES}
    assert {n.removeprefix("keras3_") for n in so.opdef.OPS if re.fullmatch(r"keras3_.*_update", n)} == named


def rows(heading: str) -> list[tuple[list[str], str]]:
    """Names and what is said of them, from the table below a heading of the page on MXNet."""
    section = (
        (ROOT / "docs" / "migration" / "mxnet.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    )
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`(\w+)`", names), said) for names, said in cells]


def test_methods_of_symbols_are_as_the_page_says() -> None:
    x = sym.var("x")
    for names, said in rows("Symbol"):
        for name in names:
            if said.startswith("refused"):
                with pytest.raises(NotImplementedForSymbol):
                    getattr(x, name)(x) if name == "__iadd__" else getattr(x, name)()
            else:
                assert hasattr(x, name) or hasattr(sym, name) or hasattr(so, name), name


def test_methods_of_executors_are_as_the_page_says() -> None:
    x = sym.var("x")
    exe = sym.sgd_update(x, sym.var("g"), lr=1).simple_bind(x=(2,))
    for names, said in rows("Executor"):
        assert [name for name in names if hasattr(exe, name) == (said == "not there")] == []
    mentioned = {name for names, _ in rows("Executor") for name in names}
    own = {name for name in vars(Executor) if not name.startswith("_")}
    assert own <= mentioned
