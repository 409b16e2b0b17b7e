"""Pictures in the pages are of the graphs as they are drawn now."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import blocks_of

from symopt import NameManager

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drawings_are_not_stale(pictures: ModuleType) -> None:
    for name, dot in pictures.drawings().items():
        assert (DOCS / "pictures" / name).read_text().endswith(pictures.stamp(dot)), (
            f"{name}: run `make pictures`"
        )


def test_drawings_do_not_depend_on_what_ran_before(pictures: ModuleType) -> None:
    assert pictures.drawings() == pictures.drawings()


def test_every_picture_is_shown_and_made(pictures: ModuleType) -> None:
    there = {path.name for path in (DOCS / "pictures").iterdir()}
    shown = {n for page in DOCS.rglob("*.md") for n in re.findall(r"pictures/([\w.-]+)", page.read_text())}
    assert there == shown == pictures.names()


def test_the_example_of_the_page_is_the_one_in_the_pictures(pictures: ModuleType) -> None:
    blocks = [block.text for block in blocks_of(DOCS / "inspection" / "index.md") if block.kind == "python"]
    names: dict[str, Any] = {}
    with NameManager():
        exec("\n".join(text for text in blocks if "print" not in text or "simple_bind" in text), names)
    with NameManager():
        assert (
            names["exe"].get_optimized_symbol().tojson() == pictures.clipped().get_optimized_symbol().tojson()
        )
