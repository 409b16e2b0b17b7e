"""What must hold of the documentation's pages as built: all there, complete, whole, and fetching nothing."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import symopt as so
from symopt import (
    checkpoint,
    embedding,
    emulatedarrays,
    errors,
    lang,
    looking,
    lr_scheduler,
    matrices,
    mxnetfiles,
    optimizer,
    rules,
    sparse,
    sym,
)
from symopt.embedding import compressors, entry, initializers, serving
from symopt.executor import Executor
from symopt.keras import optimizers, schedules
from symopt.keras3 import optimizers as optimizers3
from symopt.keras3 import schedules as schedules3
from symopt.opdef import OPS
from symopt.symbol import Symbol

ROOT = Path(__file__).parents[1]
FETCHED = {
    "script": "src", "link": "href", "img": "src", "source": "src", "video": "src", "audio": "src", "iframe": "src",
    "embed": "src", "object": "data", "use": "href", "input": "src", "track": "src",
}  # fmt: skip

ELSEWHERE = ("SymoptError", "load", "save")  # they are with the errors, and in checkpoint
HIDDEN = {"script", "style", "code", "pre", "svg", "annotation"}


class Page(HTMLParser):
    """One page: what it fetches and links to, its ids, and its text outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.counts: dict[str, int] = defaultdict(int)
        self.hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.counts[tag] += 1
        self.hidden += tag in HIDDEN
        if "id" in given:
            self.ids.append(given["id"])
        if FETCHED.get(tag) in given:
            self.fetched.append(given[FETCHED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.fetched += (
            re.findall(r"url\(([^)]*)\)", given.get("style", "")) + given.get("srcset", "").split()
        )

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in HIDDEN

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.text.append(data)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder given with --site, else pages built now, where what builds them is installed."""
    given = request.config.getoption("--site")
    if given:
        return Path(given)
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        "docs/site/mkdocs.yml",
        "-d",
        str(folder),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def name_of(built: Path, site: Path) -> str:
    return built.relative_to(site).as_posix()


def test_every_page_is_built(site: Path) -> None:
    for source in (ROOT / "docs").rglob("*.md"):
        name = source.relative_to(ROOT / "docs").as_posix().replace("README.md", "index.md")
        assert (site / name).with_suffix(".html").is_file(), name
    assert not list(site.rglob("*.py")) and not list(site.rglob("*.yml"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Neither by the pages nor by their styles; the theme's script knows an address, for diagrams that no page has."""
    fetched = [(name_of(path, site), found) for path in pages(site) for found in page(path).fetched]
    for path in site.rglob("*.css"):
        fetched += [
            (path.name, found)
            for found in re.findall(r"""(?:url\(|@import )["']?([^"')]+)""", path.read_text())
        ]
    assert len(fetched) > 100
    assert [x for x in fetched if urlsplit(x[1]).netloc or urlsplit(x[1]).scheme not in ("", "data")] == []
    assert not [path for path in pages(site) if "mermaid" in path.read_text()]


def test_every_link_leads_somewhere(site: Path) -> None:
    """mkdocs sees to those in Markdown; this sees to those in tables, HTML and docstrings as well."""
    lost = []
    for path in pages(site):
        for link in [*page(path).links, *page(path).fetched]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file() or (
                anchor and target.suffix == ".html" and anchor not in page(target).ids
            ):
                lost.append((name_of(path, site), link))
    assert lost == []


def test_no_markdown_or_latex_is_left(site: Path) -> None:
    left = re.compile(r"\$\$|\\[a-z]{3,}|```|\*\*[A-Za-z][^*\n]*\*\*|\]\(|^::: |\|---", re.M)
    for path in pages(site):
        found = left.search("".join(page(path).text))
        assert found is None, f"{name_of(path, site)}: {found}"
        assert not re.search(r"<code>[^<]*\\[_*|]", path.read_text()), (
            f"{name_of(path, site)}: escapes within code"
        )


def test_formulas_are_mathematics(site: Path) -> None:
    """Each formula of a page is one element; nothing that browsers would show as a mistake is in it."""
    for source in (ROOT / "docs" / "ops").glob("*.md"):
        if source.name != "README.md":
            written = page(site / "ops" / f"{source.stem}.html").counts
            assert written["math"] == source.read_text().count("\n$$\n\\begin") > 0
            assert written["mtable"] >= written["math"] and written["merror"] == 0
    assert not [
        path for path in pages(site) if re.search(r"</p>\s*<math", path.read_text())
    ]  # within a sentence


def public_names() -> Iterator[str]:
    """All that users may call."""
    modules: dict[ModuleType, list[str]] = {
        so: [n for n in so.__all__ if n not in ELSEWHERE and not isinstance(getattr(so, n), ModuleType)],
        checkpoint: checkpoint.__all__,
        sym: [n for n in sym.__all__ if n not in (*so.__all__, "Variable", "contrib", "sparse")],
        rules: rules.__all__,
        lr_scheduler: lr_scheduler.__all__,
        optimizer: [n for n in optimizer.__all__ if n not in ("contrib", "create_optimizer")],
        mxnetfiles: mxnetfiles.__all__,
        lang: lang.__all__,
        matrices: matrices.__all__,
        emulatedarrays: ["emulated_gpus"],
        serving: serving.__all__,
        compressors: [n for n in compressors.__all__ if n != "OneBit"],
        initializers: initializers.__all__,
        so.convert: so.convert.__all__,
        so.distributed: so.distributed.__all__,
        so.torch: so.torch.__all__,
        entry: entry.__all__,
        so.scale: so.scale.__all__,
        sparse: ["RowSparseArray", "row_sparse_array", "zeros"],
        errors: [
            n for n, x in vars(errors).items() if inspect.isclass(x) and issubclass(x, errors.SymoptError)
        ],
    }
    yield "symopt.embedding.onebit.OneBit"
    many = {"bags": ["Bags"], "fused": ["Fused", "Parcel"], "shards": ["Split", "shard_of", "split_by_shard"]}
    for module_name, several in (many | {"tables": ["Tables"]}).items():
        yield from (f"symopt.embedding.{module_name}.{name}" for name in several)
    keras = (optimizers, schedules, optimizers3, schedules3)
    modules |= {m: [n for n in m.__all__ if n != "schedules"] for m in keras}
    for module, names in modules.items():
        yield from (f"{module.__name__}.{name}" for name in names)
    yield from (f"symopt.embedding.Table.{name}" for name in own_methods(embedding.Table))
    for owner, label in ((Symbol, "symopt.Symbol"), (Executor, "symopt.executor.Executor")):
        yield from (f"{label}.{name}" for name in own_methods(owner))
    yield from (f"symopt.checkpoint.Series.{name}" for name in own_methods(checkpoint.Series))
    yield from (f"symopt.sparse.RowSparseArray.{name}" for name in own_methods(sparse.RowSparseArray))


def returned_classes() -> set[str]:
    """Names of the classes whose objects methods that look inside return: they are imported for annotations only."""
    trees = [ast.parse(path.read_text()) for path in Path(looking.__file__).parent.glob("*.py")]
    nodes = [x for tree in trees for x in ast.walk(tree)]
    imported = {a.name for x in nodes if isinstance(x, ast.ImportFrom) and x.level for a in x.names}
    methods = [
        f for x in nodes if isinstance(x, ast.ClassDef) for f in x.body if isinstance(f, ast.FunctionDef)
    ]
    said = {
        n
        for f in methods
        if f.name[0] != "_" and f.returns
        for n in re.findall(r"\w+", ast.unparse(f.returns))
    }
    return said & imported


def own_methods(owner: type) -> Iterator[str]:
    """Public methods and properties, also of base classes; not those that only refuse."""
    for base in owner.__mro__[:-1]:
        for name, value in vars(base).items():
            is_method = callable(value) or isinstance(value, property | classmethod | staticmethod)
            refuses = "Not available on a Symbol" in (getattr(value, "__doc__", "") or "")
            if not name.startswith("_") and is_method and not refuses:
                yield name


def test_every_public_name_is_on_a_page_of_the_api(site: Path) -> None:
    there = {found for path in (site / "api").glob("*.html") for found in page(path).ids}
    names = set(public_names())
    assert len(names) > 150
    assert sorted(names - there) == []
    last = {
        found.rpartition(".")[2] for found in there if found.startswith(("symopt.embedding", "symopt.idmap"))
    }
    assert sorted({*embedding.__all__} - last - {"entry"}) == []  # most are named by the module they are in
    classes = returned_classes()
    assert {"Text", "Cost"} <= classes
    assert sorted(classes - {found.rpartition(".")[2] for found in there}) == [], (
        "name it in docs/api/looking.md"
    )


def test_arguments_of_tables_are_shown_with_their_defaults(site: Path) -> None:
    """Once in the signature, and once in the list that says what they are."""
    text = (site / "api" / "embedding.html").read_text()
    shown = re.sub(r"<[^>]+>", "", text)
    for owner, said in ((embedding.Table, set()), (embedding.Segment, {"dim", "attrs"})):
        found = re.search(rf"^{owner.__name__}\((.*?)^\)$", shown, re.S | re.M)
        assert found is not None
        for name in inspect.signature(owner).parameters:
            assert re.search(rf"\b{name}: ", found[1]), name
            assert name in said or re.search(
                rf"<li>(<p>)?(<code>\w+</code>, )*<code>{name}</code>[:,]", text
            ), name
    assert "momentum: float = 0.9" in re.sub(
        r"<[^>]+>", "", (site / "api" / "embedding-entry.html").read_text()
    )


def test_examples_of_tables_fit_beside_the_contents() -> None:
    """What is wider is only seen by scrolling."""
    lines = []
    for path in (ROOT / "symopt").rglob("*.py"):
        if {"embedding", "idmap", "distributed", "scale"} & set(path.parts):
            found = re.findall(r"^ *((?:>>>|\.\.\.) .*)$", path.read_text(), re.M)
            lines += [(path.name, line) for line in found]
    docs = ROOT / "docs"
    names = ["start/embedding", "concepts/tables", "migration/monolith", "migration/kvstore", "api/idmap"]
    pages = [docs / f"{name}.md" for name in (*names, "distributed", "scale")]
    for path in (
        *pages,
        *(docs / "api").glob("embedding*.md"),
        *(docs / "api").glob("distributed*.md"),
    ):
        for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.S | re.M):
            lines += [(path.name, line) for line in block.splitlines()]
    assert len(lines) > 400
    assert [x for x in lines if len(x[1]) > 88] == []


def test_every_op_can_be_searched_for(site: Path) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    titles = {entry["title"].strip("`") for entry in entries}
    own = {op.name for op in OPS.values() if op.formula.__module__.startswith("symopt.ops")}
    assert len(own) > 100 and sorted(own - titles) == []
