"""ShardedTable: an embedding table whose rows are at the shards of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..context import Context
from ..embedding.accounts import Accounts
from ..embedding.admission import Admission
from ..embedding.bags import Bags
from ..embedding.batch import Batch, apply_all
from ..embedding.batches import Array, Ids, second
from ..embedding.checks import MISSING, Duplicates, Missing, checked, checked_seed, one_of
from ..embedding.commands import Update
from ..embedding.configured import Config, table_options
from ..embedding.entry.segments import SegmentConfig
from ..embedding.entry.slot_configs import SlotOccurrenceThresholdConfig
from ..embedding.eviction import Policy
from ..embedding.expiry import Expiry
from ..embedding.forks import watch
from ..embedding.leaving import NONE
from ..embedding.ondisk.answers import Answers
from ..embedding.options import whole
from ..embedding.segment import Segment
from ..embedding.writing import Writing
from ..errors import AttributeValueError, StateError
from ..idmap.given import chosen_engine
from ..places import HOST
from ..state import Commit, Differences
from .cluster import Cluster
from .keeping import ShardedKeeping
from .partition import Known
from .reading import ShardedReading
from .sending import Sending
from .spec import check_table, table_spec
from .stream import Stream
from .wire import Wire, checked_wire

_WINDOW = 1 << 12  # steps that a shard holds back at most


class ShardedTable(ShardedKeeping, Sending, ShardedReading, Writing):
    """An `so.embedding.Table` in parts, one at each shard of a cluster, with the same methods and the same bits.

    cluster: a `Cluster`. If its newest checkpoint has a table of this name, this is that one, and its configuration
        must be the same but for learning rates: MismatchError lists what is not.
    wire: "float16" or "bfloat16": what gradients are rounded to on their way; half the bytes, and other bits.
    readonly: for lookups only, of a table that a checkpoint has: whatever would change it is refused.
    segments, missing, duplicates, admission, expiry, max_rows, policy, reserve, seed, engine, track, name: as Table's.

    Admission, policies, schedules and functions of the user's are asked here, where all ids are seen; rules,
    initializers and rows are at the shards. Functions of ids that make first weights, and rules of your own, must be
    ones that other processes can import. Ids come in the order of shards, where those of a Table come in the order of
    its slots. `apply_gradients` waits until all shards have done the step; `push` does not.

    What a schedule or an initializer of yours raises comes out of the call that needed it, of which then nothing is
    done. Shards ask such initializers before a step is sent, so with one a step waits for those before it.

    >>> import numpy as np, symopt as so
    >>> cluster = so.distributed.Cluster(3)
    >>> table = ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0))
    >>> table.push([1, 2], np.ones((2, 2)))
    >>> table.lookup([2, 3]).tolist()
    [[-1.0, -1.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        cluster: Cluster,
        segments: Segment | SegmentConfig | Sequence[Segment | SegmentConfig],
        *,
        missing: Missing = "zeros",
        duplicates: Duplicates = "sum",
        admission: Admission | int | None = None,
        expiry: Expiry | int | None = None,
        max_rows: int | None = None,
        policy: Policy | str | None = None,
        reserve: int = 0,
        seed: int = 0,
        track: int | None = None,
        engine: str = "auto",
        wire: Wire = None,
        readonly: bool = False,
        name: str = "table",
    ) -> None:
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise AttributeValueError(f"the name of a table is a str, which folders can have, got {name!r}")
        if not isinstance(cluster, Cluster):
            raise AttributeValueError(
                f"{name}: a ShardedTable is in a so.distributed.Cluster, got {cluster!r}"
            )
        self.cluster, self.name, self.seed = cluster, name, checked_seed(seed, name)
        self.ctx, self.place, self.engine = Context.as_context(None), HOST, chosen_engine(engine)
        self.segments = checked(segments, name)
        self.missing: Missing = one_of("missing", missing, MISSING, name)
        self._follow(duplicates, admission, expiry, max_rows, policy, track)
        self.wire = checked_wire(wire, name)
        self.is_readonly = bool(readonly)
        if self.is_readonly and missing == "initialize":
            raise AttributeValueError(
                f"{name}: with readonly=True lookups can't make rows: missing='initialize'"
            )
        self._lock, self._journal = cluster.lock, None
        self._rows, self._answers = Accounts(self.segments), Answers()
        self._ask_schedules_through_answers()
        self._sent = list(self._rows.logs)
        n_reserved = whole(f"{name}: reserve", reserve, 0, 1 << 48)
        self._open()
        watch(self)
        self.reserve(n_reserved)

    @classmethod
    def from_config(
        cls,
        cluster: Cluster,
        config: Config,
        *,
        occurrence: SlotOccurrenceThresholdConfig | None = None,
        **options: Any,
    ) -> Self:
        """The table that a configuration of `so.embedding.entry` describes: see Table.from_config."""
        return cls(cluster, **{**table_options(config, occurrence), **options})

    def _ask_schedules_through_answers(self) -> None:
        """Functions of the step are asked here, once, and what they say is sent with the step."""
        self._answers.is_noting = True
        for part in self._rows.parts:
            values = part.hyper.values
            for name, value in values.items():
                if callable(value):
                    values[name] = self._answers.schedule(value)

    def _open(self) -> None:
        """Go on with what was closed here under this name, or with a checkpoint; or begin anew."""
        spec = table_spec(self, _WINDOW)
        with self.cluster.lock:
            before = self.cluster.members.get(self.name)
            if before is not None and before._is_closed:
                check_table(self.name, spec, before._stream.spec, "that was closed in this cluster")
                self._stream = before._stream
                self._load_driver_state(before._driver_state())
                self.cluster.hand_over(self.name, self._driver_state, self._load_driver_state)
                self.cluster.members[self.name] = self
            else:
                self._open_anew(spec)

    def _open_anew(self, spec: Mapping[str, Any]) -> None:
        found = self.cluster.found
        saved = None if found is None else found.tables.get(self.name)
        if saved is not None and self.name not in self.cluster.streams:
            check_table(self.name, spec, saved.spec, f"in the checkpoint {found.path!r}")  # type: ignore[union-attr]
            self._plan_driver_state(saved.driver)
        elif self.is_readonly:
            raise StateError(
                f"{self.name}: readonly=True, and no checkpoint of this cluster has such a table"
            )
        self._stream = Stream(self.name, spec)
        try:
            self.cluster.open(self._stream, self._driver_state, self._load_driver_state)
        finally:
            if self.cluster.streams.get(self.name) is self._stream:
                self.cluster.members[self.name] = self

    # ---- writing

    def push(
        self,
        ids: npt.ArrayLike | Bags,
        grads: npt.ArrayLike,
        global_step: int | None = None,
        req_time: float | None = None,
        *,
        duplicates: Duplicates | None = None,
        learning_rate: float | Sequence[float] | None = None,
    ) -> None:
        """`apply_gradients` that does not wait: lookups that follow see the step all the same, and an error of a shard
        comes out of a later call. At most `window` steps of the cluster are on their way.

        What a function of yours raises, a schedule or an initializer, is raised here, and nothing is done: with such an
        initializer shards are asked first, which waits for the steps before this one."""
        what = f"{self.name}.push"
        batch = Batch(self, [(what, ids, grads)], global_step, req_time, duplicates, learning_rate, what=what)
        with self._sending_only():
            apply_all([batch])

    def _know(self, ids: Ids) -> None:
        """These ids, each once and always in this array, are what comes again and again: see `_push_known`."""
        self._known = Known(ids)

    def _push_known(self, grads: Array, global_step: int) -> None:
        """`push` of gradients (n, dim), of the table's dtype, for the ids that it knows: neither they nor their owners
        are looked for."""
        assert self._known is not None
        update = Update(self._known.ids, grads, global_step, None, second(None, self.name))
        with self._sending_only(), self._batch():
            self._carry_out(NONE, update)

    # ---- what the driver knows, in checkpoints of the cluster

    def _driver_state(self) -> dict[str, Any]:
        rows = self._rows
        state: dict[str, Any] = {
            "steps": rows.steps,
            "latest": self.latest,
            "stats": asdict(self.stats),
            "logs": list(rows.logs),
            "scales": list(rows.scales),
            "products": [dict(part.hyper.products) for part in rows.parts],
            "sent": list(self._sent),
        }
        for name in ("admission", "touched"):
            if getattr(self, name) is not None:
                state[name] = getattr(self, name).state_dict()
        return state

    def _plan_driver_state(self, state: Mapping[str, Any]) -> list[Commit]:
        found = Differences()
        commits = [
            getattr(self, name).plan_load(state[name], found, name)
            for name in ("admission", "touched")
            if getattr(self, name) is not None and name in state
        ]
        found.check(self.name, strict=True)
        return commits

    def _load_driver_state(self, state: Mapping[str, Any]) -> None:
        for commit in self._plan_driver_state(state):
            commit()
        rows = self._rows
        rows.steps, self.latest = state["steps"], state["latest"]
        rows.logs, self._sent = ([*map(float, np.asarray(state[name]))] for name in ("logs", "sent"))
        rows.go_on([*map(float, state["scales"])], rows.steps, state["products"])
        if self.touched is not None and "touched" not in state:
            self.touched.overflow()  # what was written before is not known
