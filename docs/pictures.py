"""The pictures in the pages, of real graphs: `make pictures`. Needs Graphviz, and Chromium for pages of HTML.

The pages show the copies in docs/pictures/, so that they can be read and built without either. A drawing says at its
end what it was made from, and a test fails if the graph is now drawn otherwise.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import symopt as so
from symopt import sym
from symopt.executor import Executor

FOLDER = Path(__file__).parent / "pictures"
SHOOT = Path(__file__).parents[1] / "tests" / "browser" / "shoot.mjs"
MADE_FROM = "<!-- made from {} by docs/pictures.py -->\n"


def clipped() -> Executor:
    """The example of docs/inspection/index.md: two layers clipped by their common norm, Adam, averages."""
    lr, heads = sym.var("lr", shape=()), []
    names = ["fc1", "fc2"]
    weights, grads = ([sym.var(f"{n}_{kind}") for n in names] for kind in ("w", "g"))
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads, name="squares"), name="total"), name="norm")
    scale = sym.minimum(1.0 / norm, 1.0)
    for n, w, g in zip(names, weights, grads):
        average = sym.var(f"{n}_average")
        new = sym.adam_update(w, g, lr=lr, rescale_grad=scale, out=w, name=n)
        heads += [new, sym.elemwise_add(0.99 * average, 0.01 * new, out=average, name=f"{n}_mixed")]
    return sym.Group(heads).simple_bind(so.cpu(), fc1_w=(512, 128), fc2_w=(128, 10))


def adam() -> Executor:
    """One update and nothing else."""
    w, lr = sym.var("w"), sym.var("lr", shape=())
    new = sym.adam_update(w, sym.var("g"), sym.var("mean"), sym.var("var"), lr=lr, wd=0.01, out=w, name="fc1")
    return new.simple_bind(so.cpu(), w=(512, 128))


DRAWINGS: dict[str, Callable[[], str]] = {
    "symbol.svg": lambda: clipped().to_dot("symbol"),
    "primitive.svg": lambda: adam().to_dot("primitive"),
    "program.svg": lambda: clipped().to_dot("program"),
}


def drawings() -> dict[str, str]:
    """Each drawing in Graphviz's language; names that symopt gives count from 0."""
    made = {}
    for name, draw in DRAWINGS.items():
        with so.NameManager():
            made[name] = without_lines(draw())
    return made


def without_lines(dot: str) -> str:
    """The text but for line numbers of this file, which mean nothing to those who look at the picture."""
    return re.sub(r"pictures\.py:\d+", "pictures.py", dot)


def page() -> str:
    """The example as a page of HTML."""
    with tempfile.TemporaryDirectory() as folder, so.NameManager():
        path = Path(folder) / "example.html"
        clipped().draw(path)
        return path.read_text(encoding="utf-8")


def many() -> Executor:
    """A thousand updates: 5,000 nodes."""
    weights = [sym.var(f"layer{k}_weight") for k in range(1000)]
    heads = [
        sym.adam_update(w, sym.var(f"layer{k}_grad"), lr=1e-3, out=w, name=f"layer{k}")
        for k, w in enumerate(weights)
    ]
    return sym.Group(heads).simple_bind(so.cpu(), **{f"layer{k}_weight": (64, 64) for k in range(1000)})


# Pages as a browser shows them, and what is done to them first: words of tests/browser/shoot.mjs.
PHOTOGRAPHS: dict[str, tuple[Callable[[], Executor], tuple[str, ...]]] = {
    "page.png": (clipped, ("--click", "fc1")),
    "page-many.png": (many, ("--dark",)),
}


def photograph(executor: Executor, options: tuple[str, ...], picture: Path) -> None:
    """A picture of an executor's page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        executor.draw(path)
        subprocess.run(["node", str(SHOOT), str(path), str(picture), *options], check=True, timeout=300)


def names() -> set[str]:
    """Files that this makes."""
    return {*DRAWINGS, *PHOTOGRAPHS}


def stamp(dot: str) -> str:
    """What stands at the end of a drawing made from this text."""
    return MADE_FROM.format(hashlib.sha256(dot.encode()).hexdigest()[:16])


def main() -> None:
    """Make the drawings anew."""
    from symopt.view.dot import render

    if shutil.which("dot") is None:
        sys.exit("pictures need Graphviz's program `dot`")
    FOLDER.mkdir(exist_ok=True)
    for name, dot in drawings().items():
        render(dot, FOLDER / name)
        with (FOLDER / name).open("a", encoding="utf-8") as file:
            file.write(stamp(dot))
        print(FOLDER / name)
    if not (SHOOT.parent / "node_modules").exists():
        sys.exit(f"{', '.join(PHOTOGRAPHS)} need a browser, and stay as they are: make browser")
    for name, (make, options) in PHOTOGRAPHS.items():
        with so.NameManager():
            photograph(make(), options, FOLDER / name)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
