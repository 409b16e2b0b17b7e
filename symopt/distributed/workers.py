"""Data-parallel workers: step functions in processes of their own, that get rows of tables and give gradients."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..embedding.options import whole
from ..errors import ClusterError, ProcessLostError, TooLateError
from ..places import HOST
from .cluster import Cluster
from .crew import LOG, Crew
from .dense import ShardedOptimizer
from .handing import hand_over
from .status import WorkersStatus
from .table import ShardedTable
from .task import Task
from .transport import Held
from .workerchecks import optimizers_by_name, said_of, seconds, sent_as, tables_by_name

_TRIES = 5  # processes that a step of a rank may take with it


class Step(NamedTuple):
    """A step that was sent to the shards; and what the function of each rank reported."""

    step: int
    reports: tuple[Any, ...]


class Workers:
    """Processes that run a step function for `ranks` ranks, on the tables of a cluster; or this process, if the cluster
    is in it.

    step: a generator function as "module:name", or itself, if others can import it. It is called with (step, rank,
        ranks, **given). It yields {name of table: ids of any shape}, as often as it likes, and is sent {name: rows of
        that shape and (dim,)}, which are its own. It returns {name: (ids, grads)}, or {name: grads} for the ids that it
        asked for; or a pair of that and a report, such as a loss. Tables that it leaves out have no step.
    tables: the `ShardedTable`s that it may name.
    optimizers: `ShardedOptimizer`s that it may name too, with `n_ranks` as here: for the name of one it yields None,
        and is sent {parameter: weights}, which are its own; it returns gradients as `ShardedOptimizer.step` takes them.
    ranks: into how many parts each step is divided. processes: how many do them; by default one for each rank. Fewer
        do several ranks each; more than ranks stand by.
    given: plain data.
    timeout: seconds after which a turn of a function, from one yield to the next, is taken for hung, and its process,
        once it has begun, is replaced; None: never.

    All ranks of a step see the tables as they were after the step before, and a step is sent when all ranks are done.
    So whatever happens to processes, tables get the bits of one process that gives `Table.apply_gradients` the
    gradients of all ranks one behind the other, each rank's first added up by id (with duplicates="sum"), for any
    number of shards and processes. A process that is lost is replaced, and its ranks' steps are done again from their
    beginning: a function must depend on nothing but its arguments and rows. An error of a function is raised here, and
    nothing of its step was sent.

    With the cluster's `staleness` s, ranks may begin s steps ahead, and see rows after any step from t - 1 - s on in
    step t: faster, not the same bits every time, but each gradient counts once.

    Gradients of a table with admission, max_rows or track go through the driver, which has to see their ids; those of
    other tables, and all rows, go from process to process. With missing="initialize" the driver sees the ids that have
    no row yet, and lets them be born; with max_rows too a table is refused, since the result would depend on who comes
    first. `stats.updated` counts a row once for each rank. Bags are not taken.

    Gradients of optimizers go from workers to owners: workers check and cut them, and the driver passes on what it does
    not read. (It reads them for an optimizer that is on another Transport than the cluster.) Weights go through the
    driver, which has them in `params`: once in a step they are put where all workers read them. The bits are those of
    `so.compile` on the `tree_sum` of the ranks' gradients.

    >>> import numpy as np, symopt as so
    >>> def learn(step, rank, ranks, ids):
    ...     rows = yield {"users": ids}
    ...     error = rows["users"] - 1.0
    ...     return {"users": error}, float(np.square(error).sum())
    >>> with so.distributed.Cluster(2) as cluster:
    ...     segment = so.embedding.Segment(1, "sgd", learning_rate=0.25)
    ...     users = so.distributed.ShardedTable(cluster, segment, name="users")
    ...     given = {"ids": [3, 5]}
    ...     workers = so.distributed.Workers(cluster, learn, [users], ranks=2, given=given)
    ...     [sum(done.reports) for done in workers.steps(3)]
    [4.0, 1.0, 0.25]
    """

    def __init__(
        self,
        cluster: Cluster,
        step: str | Callable[..., Any],
        tables: Sequence[ShardedTable],
        *,
        optimizers: Sequence[ShardedOptimizer] = (),
        ranks: int = 1,
        processes: int | None = None,
        given: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.cluster = cluster
        self.tables = tables_by_name(cluster, tables)
        self.ranks = whole("workers: ranks", ranks, 1, 1 << 16)
        self.optimizers = optimizers_by_name(optimizers, self.tables, self.ranks)
        self.step = 0  # the last that was sent
        self.redone = 0  # steps of ranks
        self._first = 0
        self._marks: dict[
            int, dict[str, int]
        ] = {}  # steps of tables that were pushed after a step of the workers
        self.timeout = seconds(timeout)
        self._turn = object()  # of the latest call of `steps`
        self._config = {
            "step": sent_as(step, cluster),
            "ranks": self.ranks,
            "given": dict(given or {}),
            "tables": {name: said_of(table) for name, table in self.tables.items()},
        }
        self._crew = Crew(
            cluster.transport, self._config, self.ranks, self.ranks if processes is None else processes
        )
        cluster.workers.append(self)

    # ---- processes

    @property
    def processes(self) -> int:
        """How many there are."""
        return len(self._crew.hosts)

    @property
    def process_ids(self) -> list[int | None]:
        """The operating system's number of each process, that of the first ranks first."""
        return [self.cluster.transport.process_id(host) for host in self._crew.hosts]

    def status(self) -> WorkersStatus:
        """What `Cluster.status` says of them."""
        return WorkersStatus(self.step, self.ranks, self.processes, self.lost, self.redone)

    @property
    def lost(self) -> int:
        """How many processes were lost and replaced."""
        return self._crew.lost

    def resize(self, processes: int) -> None:
        """Go on with so many processes. Ranks of those that go are done again by others."""
        self._crew.resize(processes)

    def close(self) -> None:
        """Let the processes go; the cluster stays."""
        self._crew.close()
        self.cluster.workers = [each for each in self.cluster.workers if each is not self]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Workers: {self.ranks} ranks, {self.processes} processes, {self.step} steps>"

    # ---- steps

    def run(self, steps: int, start: int = 0, on_step: Callable[[Step], Any] | None = None) -> None:
        """Do the steps from `start` + 1 to `steps`, and call `on_step` after each."""
        for done in self.steps(steps, start):
            if on_step is not None:
                on_step(done)

    def steps(self, steps: int, start: int = 0) -> Iterator[Step]:
        """Do the steps from `start` + 1 to `steps`; each is given when it was sent. Between them the cluster may make a
        checkpoint, or be resharded, and `resize` may be called. Whatever raises, `step` says how many were sent: go on
        with `start=workers.step`. TooLateError if it was called again meanwhile."""
        steps = whole("workers: steps", steps, 0, 1 << 62)
        self.step = self._first = whole("workers: start", start, 0, 1 << 62)
        self._turn = turn = object()
        self._marks = {start: self._pushed()}
        under_way: deque[list[Task]] = deque()
        while self.step < steps:
            while (ahead := len(under_way)) <= self.cluster.staleness and self.step + ahead < steps:
                under_way.append(self._begun(self.step + ahead + 1))
            while not self._handed(under_way[0]):
                self._listen([task for tasks in under_way for task in tasks])
            tasks = under_way.popleft()
            yield Step(self.step, tuple(task.said.report for task in tasks if task.said))
            if self._turn is not turn:
                raise TooLateError("steps() of these workers was called again: only the latest goes on")
            self._begin_moved([task for tasks in under_way for task in tasks])

    def _handed(self, tasks: Sequence[Task]) -> bool:
        """Send a step, if all ranks are done with it, for the shards that there are now."""
        if not all(task.is_done for task in tasks):
            return False
        with self.cluster.lock:
            self._begin_moved(tasks)  # others may have resharded
            is_done = all(task.is_done for task in tasks)
            if is_done:
                hand_over(self.cluster, self.tables, self.optimizers, tasks, self._count)
        return is_done

    def _count(self) -> None:
        """Note that a step was sent, and what was pushed by now, for as long as a step may be begun that need not see
        more."""
        self.step += 1
        self._marks[self.step] = self._pushed()
        self._marks.pop(self.step - self.cluster.staleness - 1, None)

    def _pushed(self) -> dict[str, int]:
        return {name: table._stream.step for name, table in self.tables.items()}

    def _begun(self, step: int) -> list[Task]:
        weights = {name: self._weights(optimizer) for name, optimizer in self.optimizers.items()}
        tasks = [
            Task(self.cluster, self.tables, self.optimizers, step, rank, weights)
            for rank in range(self.ranks)
        ]
        for task in tasks:
            self._begin(task)
        return tasks

    def _weights(self, optimizer: ShardedOptimizer) -> Held:
        """The weights as they are now, once for all ranks."""
        transport = self.cluster.transport
        arrays = {n: HOST.as_array(a, n, mutable=False) for n, a in optimizer.params.items()}
        return transport.put(arrays if transport.may_lose else {n: a.copy() for n, a in arrays.items()})

    def _begin(self, task: Task) -> None:
        if task.losses > _TRIES:
            raise ClusterError(
                f"step {task.step} of rank {task.rank}: {task.losses} processes were lost while they did it"
            )
        self.redone += bool(task.tries)
        stale = self.cluster.staleness
        at = self._marks[max(task.step - 1 - stale, self._first)] if stale else None
        task.begin(self._crew.of_rank(task.rank), self.step, at)

    def _begin_moved(self, tasks: Sequence[Task]) -> None:
        """Begin again what was cut for other shards or owners, or is at a process that was let go."""
        for task in tasks:
            is_there = task.is_done or self._crew.has(task.host)
            if not (task.is_current and is_there):
                self._begin(task)

    def _listen(self, tasks: Sequence[Task]) -> None:
        """Wait until at least one task has something to say, and take it."""
        waiting = [task for task in tasks if not task.is_done]
        lost = [task for task in waiting if task.lost is not None]
        ready = lost or self._ready(waiting)
        with self.cluster.lock:
            for task in ready:
                self._hear(task)
            if not ready:
                self._stuck(waiting)

    def _ready(self, tasks: Sequence[Task]) -> list[Task]:
        longest = min(self.timeout or self.cluster.patience, self.cluster.patience)
        replies = self.cluster.transport.ready([task.reply for task in tasks], longest)
        return [task for task in tasks if any(task.reply is reply for reply in replies)]

    def _hear(self, task: Task) -> None:
        try:
            if task.lost is not None:
                raise task.lost
            if not task.is_current:
                self._begin(task)
                return
            task.hear()
        except Exception as error:
            if task.went_on():
                return
            if not isinstance(error, ProcessLostError):
                error.add_note(f"in step {task.step} of rank {task.rank} of {self._config['step']!r}")
                raise
            self._begin_elsewhere(task, error)

    def _begin_elsewhere(self, task: Task, error: Exception) -> None:
        self._crew.replace(task.host, error)
        LOG.warning("step %d of rank %d is done again", task.step, task.rank)
        task.losses += 1
        self._begin(task)

    def _stuck(self, tasks: Sequence[Task]) -> None:
        """Nothing was said for long: is it a shard that hangs, or a worker?"""
        for task in tasks:
            if not task.is_answered and task.went_on():
                continue
            if self._crew.is_starting(task.host):
                task.called = time.monotonic()
            elif self.timeout is not None and time.monotonic() - task.called > self.timeout:
                text = f"the worker of step {task.step} of rank {task.rank} is silent for {self.timeout:g} s"
                self._begin_elsewhere(task, ProcessLostError(text))
