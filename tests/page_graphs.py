"""Graphs that pages are tried on."""

from __future__ import annotations

from symopt import sym
from symopt.errors import Where
from symopt.symbol import Symbol
from symopt.view.model import Item, KernelItem, Link, View

HOSTILE = (
    "</script><img src=x onerror=window.pwned=1>",
    '<img src=x onerror="window.pwned=2"><b>bold</b>',
    "'\"`${window.pwned=3}`\\",
    "]]><!--<script>window.pwned=4</script>",
    "\u202eevil\u2066\u200f mirrored",
    "bell\x07 null\x00 line\u2028separator\ud800 surrogate",
    "javascript:window.pwned=5",
    "&lt;b&gt; &amp; %%data%% %%scripts%%",
    "__proto__",
    "שלום عالم",
    "long" * 5000,
    "",
)


def small() -> tuple[Symbol, dict[str, tuple[int, ...]]]:
    """One Adam update."""
    w, g = sym.var("w"), sym.var("g")
    lr = sym.var("lr", shape=())
    made = sym.adam_update(
        w, g, sym.var("m"), sym.var("v"), lr=lr, wd=0.01, clip_gradient=1.0, out=w, name="fc1"
    )
    return made, {"w": (128, 64)}


def clipped(n: int) -> tuple[Symbol, dict[str, tuple[int, ...]]]:
    """`n` tensors whose gradients are scaled by the norm of all of them."""
    weights = [sym.var(f"layer{k}_weight") for k in range(n)]
    grads = [sym.var(f"layer{k}_grad") for k in range(n)]
    total = sym.sum(sym.square(grads[0]))
    for grad in grads[1:]:
        total = total + sym.sum(sym.square(grad))
    scale = 1.0 / (sym.sqrt(total) + 1e-6)
    lr = sym.var("lr", shape=())
    made = [
        sym.adam_update(
            w, g * scale, sym.var(f"layer{k}_m"), sym.var(f"layer{k}_v"), lr=lr, out=w, name=f"adam{k}"
        )
        for k, (w, g) in enumerate(zip(weights, grads, strict=True))
    ]
    return sym.Group(made), {f"layer{k}_weight": (8, k % 5 + 1) for k in range(n)}


def many(n: int) -> View:
    """`n` updates by hand: five items each."""
    items: list[Item] = []
    links: list[Link] = []
    for k in range(n):
        shape = (64, k % 7 + 1)
        for kind, name in (("variable", "w"), ("variable", "g"), ("state", "m"), ("state", "v")):
            links.append(Link(len(items), 5 * k + 4, len(items) - 5 * k))
            items.append(Item(kind, "null", f"p{k}_{name}", shape, "float32", "default", 256 * shape[1]))  # type: ignore[arg-type]
        formula = ("mean' = beta1 · mean + (1 - beta1) · grad", "weight' = weight - lr · mean' / √var'")
        attrs = {"lr": f"{0.1 + k}"}
        items.append(
            Item("op", "adam_update", f"u{k}", shape, "float32", "default", 256, (0,), "", formula, attrs)
        )
    return View("symbol", "many", tuple(items), tuple(links), (_kernel(0, n),))


def hostile() -> View:
    """Every text of a view is hostile."""
    items = tuple(
        Item("op", bad, bad, None, "float32", "default", 1, (0,), bad, (bad,), {bad: bad}, Where(bad, 1))
        for bad in HOSTILE
    )
    links = tuple(Link(k, k + 1) for k in range(len(items) - 1))
    bad = HOSTILE[0]
    kernel = KernelItem(0, bad, bad, 1, 1, 1, (bad,), {"text": bad, bad: bad}, 1e-5, 2e-5)
    return View("symbol", bad, items, links, (kernel,))


def _kernel(number: int, tensors: int) -> KernelItem:
    return KernelItem(number, "adam_update", "each element", tensors, 1, 1, ("new weight",), {"text": "code"})
