"""Every rule has a page whose example it finds and whose remedy contents it; what documentation shows is clean."""

import contextlib
import io
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, run_blocks

from symopt.lint import RULES, Finding, Rule
from symopt.symbol import Symbol

FOLDER = ROOT / "docs" / "lint"
OVERVIEW = ROOT / "docs" / "inspection" / "lint.md"
INDEX = FOLDER / "index.md"
HEADINGS = ("## Why", "## Example", "## Remedy")


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.code)
def test_a_rule_has_a_page_that_runs(rule: Rule, tmp_path: Path) -> None:
    page = FOLDER / f"{rule.code}.md"
    text = page.read_text()
    assert text.startswith(f"# {rule.code}: {rule.reason}\n\n{rule.severity}\n")
    assert [line for line in text.splitlines() if line.startswith("##")] == list(HEADINGS)
    assert f"# -> ['{rule.code}']" in text and "# -> []" in text
    run_blocks(page, tmp_path, lambda block: block.mark != "gpu")


def test_the_index_lists_every_rule(request: pytest.FixtureRequest) -> None:
    lines = ["# What the linter says", "", "See [the overview](../inspection/lint.md).", ""]
    lines += ["| code | | what is wrong |", "|---|---|---|"]
    lines += [f"| [{rule.code}]({rule.code}.md) | {rule.severity} | {rule.reason} |" for rule in RULES]
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--update-golden"):
        INDEX.write_text(text)
    assert INDEX.read_text() == text, "run pytest tests/test_lint_docs.py --update-golden"
    assert {page.stem for page in FOLDER.glob("SO*.md")} == {rule.code for rule in RULES}


def test_the_overview_runs(tmp_path: Path) -> None:
    run_blocks(OVERVIEW, tmp_path, lambda block: block.mark != "gpu")


class Stop(Exception):
    """What an example was wanted for has happened."""


@contextlib.contextmanager
def linted(
    monkeypatch: pytest.MonkeyPatch, wanted: str = "example", stop: bool = False
) -> Iterator[list[Finding]]:
    """What the linter says of every graph that code called `wanted` binds meanwhile; or of the first."""
    found: list[Finding] = []

    def watch(name: str) -> None:
        make = getattr(Symbol, name)

        def bound(self: Symbol, *args: Any, **kwargs: Any) -> Any:
            executor = make(self, *args, **kwargs)
            if sys._getframe(1).f_globals["__name__"] == wanted:
                found.extend(self.lint())
                found.extend(executor.lint())
                if stop:
                    raise Stop
            return executor

        monkeypatch.setattr(Symbol, name, bound)

    watch("bind")
    watch("simple_bind")
    yield found


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda p: p.name)
def test_graphs_of_the_documentation_are_clean(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with linted(monkeypatch) as found, contextlib.redirect_stdout(io.StringIO()):
        run_blocks(page, tmp_path, lambda block: block.mark != "gpu")
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("name", ["digits", "my_rule", "phase_retrieval"])
def test_graphs_of_the_examples_are_clean(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "my_rule":
        pytest.importorskip("sklearn")
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="shown")["main"]
    with linted(monkeypatch, "shown", stop=True) as found, pytest.raises(Stop):
        main()
    assert not found, "\n".join(map(str, found))
