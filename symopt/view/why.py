"""Why two nodes run in one kernel, or do not: the passes are run once more, and say so."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..errors import GraphError, UnknownArgumentError, built_at, near
from ..expr import PICK, Node
from ..passes.ir import Call, Program
from ..passes.partition import partition
from ..passes.reasons import Apart, Copied, Refusal
from ..passes.schedule import schedule
from ..planned import Planned

Home = tuple[int, int]  # a launch's number and the number of an instance of it


class Answer(NamedTuple):
    """How two nodes run.

    `together`: launches and instances that compute something of both; none if they are apart. Then `reason` says why,
    `culprit` is the call in question; of THROUGH, `cuts` are calls on the way from the one to the other, in pairs that
    are apart, and why. `beside`: launches that run both, but on arrays of their own.
    """

    together: tuple[Home, ...]
    beside: tuple[int, ...] = ()
    reason: Apart | None = None
    culprit: Call | None = None
    cuts: tuple[tuple[Call, Call, Apart], ...] = ()


class Why:
    """What the passes said while they made a program."""

    def __init__(self, program: Program) -> None:
        lowered = program.lowered
        self.program = program
        self.refusals: list[Refusal] = []
        self.copied: list[Copied] = []
        self.regions = partition(lowered, self.refusals)
        self.schedule = schedule(lowered, self.regions, self.copied)
        self.makers = {id(v): call for call in lowered.calls for v in call.outputs}
        self.homes: dict[int, Home] = {}
        self.calls: dict[int, list[Call]] = {}  # of each node
        for k, launch in enumerate(program.launches):
            for i, instance in enumerate(launch.instances):
                for call in instance.region.calls:
                    self.homes[id(call)] = (k, i)
                    self.calls.setdefault(id(call.node), []).append(call)
        self._of: dict[tuple[int, int], Refusal] = {}  # the last one between two calls: its word was final
        for refusal in self.refusals:
            for call in refusal.calls:
                for other in refusal.others:
                    self._of[id(call), id(other)] = self._of[id(other), id(call)] = refusal

    def calls_of(self, node: Node) -> Sequence[Call]:
        """The calls that a node became, in the order they run."""
        return self.calls.get(id(node), ())

    def home(self, call: Call) -> Home:
        return self.homes[id(call)]

    def inputs(self, call: Call) -> Iterable[Call]:
        """The calls that make what a call reads."""
        sources = (v for value in call.inputs for v in value.sources)
        return {id(made): made for v in sources if (made := self.makers.get(id(v)))}.values()

    def between(self, call: Call, other: Call) -> Refusal | None:
        """What kept two calls apart, if they were offered to each other."""
        return self._of.get((id(call), id(other)))

    def answer(self, a: Node, b: Node) -> Answer:
        """How two nodes run that are calls, both of them."""
        ours, theirs = self.calls_of(a), self.calls_of(b)
        homes, others = {self.home(c) for c in ours}, {self.home(c) for c in theirs}
        together = tuple(sorted(homes & others))
        if together:
            return Answer(together)
        beside = tuple(sorted({k for k, _ in homes} & {k for k, _ in others}))
        found = [r for x in ours for y in theirs if (r := self.between(x, y))]
        if found:
            mine = {*map(id, ours), *map(id, theirs)}
            best = next((r for r in found if id(r.culprit) in mine), found[-1])
            return Answer((), beside, best.reason, best.culprit)
        path = self._path(ours, theirs) or self._path(theirs, ours)
        pairs = ((x, y, self.between(x, y)) for x, y in pairwise(path) if self.home(x) != self.home(y))
        cuts = tuple((x, y, refusal.reason) for x, y, refusal in pairs if refusal)
        return Answer((), beside, Apart.THROUGH if path else Apart.UNRELATED, cuts=cuts)

    def _path(self, sources: Sequence[Call], targets: Sequence[Call]) -> list[Call]:
        """The shortest way for data from one of the sources to one of the targets; none: empty."""
        wanted = set(map(id, sources))
        after: dict[int, Call | None] = {id(call): None for call in targets}
        queue = deque(targets)
        while queue:
            call = queue.popleft()
            if id(call) in wanted:
                path: list[Call] = []
                step: Call | None = call
                while step is not None:
                    path.append(step)
                    step = after[id(step)]
                return path
            for made in self.inputs(call):
                if id(made) not in after:
                    after[id(made)] = call
                    queue.append(made)
        return []


def node_named(planned: Planned, name: str) -> Node:
    """The op node called `name`, else the variable; UnknownArgumentError or GraphError if there is none or several."""
    nodes = [node for node in planned.types.order if node.op != PICK]
    found = [node for node in nodes if node.name == name]
    ops = [node for node in found if not node.is_variable]
    if not found:
        raise UnknownArgumentError(
            f"explain: no node is called {name!r}{near(name, {node.name for node in nodes})}"
        )
    if len(ops) > 1:
        raise GraphError(
            f"explain: {len(ops)} nodes are called {name!r}; give each a name of its own"
            f"{''.join(built_at(node.where) for node in ops)}"
        )
    return (ops or found)[0]
