"""What is known of each node of a graph, and how news spreads from op to op until nothing changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from .errors import built_at
from .expr import PICK, VARIABLE, Node, origin
from .forms import op_of
from .opdef import OpDef

F = TypeVar("F")
LISTED = 8  # an error lists so many inputs; of more, the first and the one that does not fit


class Facts(Generic[F]):
    """One fact per node: its shape, or its dtype. `news` collects the nodes that became better known."""

    __slots__ = ("known", "news")

    def __init__(self) -> None:
        self.known: dict[int, F] = {}
        self.news: list[Node] = []

    def get(self, node: Node) -> F | None:
        return self.known.get(id(node))

    def set(self, node: Node, fact: F) -> None:
        if self.known.get(id(node)) != fact:
            self.known[id(node)] = fact
            self.news.append(node)


Rule = Callable[[Node], None]


def solve(order: Sequence[Node], facts: Facts[F], relate: Rule, guess: Rule | None = None) -> None:
    """Apply `relate` to every op, inputs first, and again where something became known later.

    `guess` is asked only when `relate` has nothing more to say; the forward pass alone is the usual case.
    """
    news: list[Node] = []
    ops = [node for node in order if node.op != VARIABLE]
    for node in ops:
        relate(node)
        if facts.news:
            news += (n for n in facts.news if n is not node)  # who reads the node itself comes later anyway
            facts.news.clear()
    if news or guess:
        _settle(order, ops, facts, relate, guess, news)


def _settle(
    order: Sequence[Node],
    ops: list[Node],
    facts: Facts[F],
    relate: Rule,
    guess: Rule | None,
    news: list[Node],
) -> None:
    around = _neighbours(ops)
    certain = _Queue(op for node in news for op in around.get(id(node), ()))
    maybe = _Queue(ops if guess else ())
    while certain.waiting or maybe.waiting:
        if certain.waiting:
            relate(certain.pop())
        elif guess:
            guess(maybe.pop())
        for node in facts.news:
            for op in around.get(id(node), ()):
                certain.push(op)
                if guess:
                    maybe.push(op)
        facts.news.clear()


class _Queue:
    """First in, first out, everything at most once at a time."""

    def __init__(self, items: Iterable[Node]) -> None:
        self.waiting: deque[Node] = deque()
        self.inside: set[int] = set()
        for item in items:
            self.push(item)

    def push(self, node: Node) -> None:
        if id(node) not in self.inside:
            self.inside.add(id(node))
            self.waiting.append(node)

    def pop(self) -> Node:
        node = self.waiting.popleft()
        self.inside.discard(id(node))
        return node


def _neighbours(ops: Iterable[Node]) -> dict[int, list[Node]]:
    """For each node the ops whose rule speaks of it."""
    around: dict[int, list[Node]] = {}
    for op in ops:
        for node in _touched(op):
            around.setdefault(id(node), []).append(op)
    return around


def _touched(node: Node) -> Iterator[Node]:
    yield node
    if node.op == PICK:
        yield same_as(node)
    else:
        yield from node.inputs
        yield from node.attrs.get("__out__", ())


def same_as(node: Node) -> Node:
    """The node that a pick has shape and dtype of: the weight, or the state, that it is the new value of."""
    op, index = origin(node)
    if index == 0:
        return op
    return op.inputs[op_of(op).like[index]]


def title(node: Node, op: OpDef) -> str:
    return f"{op.name} {node.name!r}"


def mismatch(
    node: Node,
    op: OpDef,
    rule: str,
    facts: Mapping[int, object],
    rows: Sequence[tuple[str, Node]],
    wrong: int,
    wanted: str,
) -> str:
    """The text of an error: the rule, what the op is given, an arrow at what breaks it, and the user's line.

    `rows`: an input's name in the formula and the node that is given for it; `wrong` numbers one of them.
    """
    shown = [i for i in range(len(rows)) if len(rows) <= LISTED or i in (0, wrong)]
    cells = []
    for i in shown:
        known = facts.get(id(rows[i][1]))
        cells.append((rows[i][0], rows[i][1].name, "unknown" if known is None else str(known)))
    width = max(len(c[0]) for c in cells)
    lines = [f"{title(node, op)}: {rule}"]
    for i, (label, name, fact) in zip(shown, cells, strict=True):
        arrow = f"   <-- {wanted}" if i == wrong else ""
        lines.append(f"    {label:{width}} {name} {fact}{arrow}")
    return "\n".join(lines) + built_at(node.where)


def labels(node: Node, op: OpDef) -> list[str]:
    """What each input is called: by the formula, then the attributes given as Symbols."""
    names = op.input_names()
    return [*names, *node.attrs.get("__scalars__", ())][: len(node.inputs)]
