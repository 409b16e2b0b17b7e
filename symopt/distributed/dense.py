"""Dense parameters whose masters and states are cut over processes: `so.compile` on several, with the bits of one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..embedding.options import whole
from ..errors import MissingArgumentError, TooLateError
from ..places import HOST
from ..training.assigned import Assigned
from ..training.compile import read
from ..training.names import Tree
from ..training.scaling import LossScale
from .densechecks import Ranks, check_graph, check_options, modules_of
from .densekeeping import DenseKeeping
from .densepieces import Pieces
from .densepushing import DensePushing
from .densesteps import Steps
from .joined import enter
from .owner import Kinds
from .owners import Owners
from .transport import Reply, Transport

_NAME = "ShardedOptimizer: "  # in errors


class ShardedOptimizer(DensePushing, DenseKeeping):
    """The update of dense parameters by processes that each own a part: ZeRO-1.

    Each owner has its part of the states (and of the float32 copies of 16-bit weights), gets its part of the gradients
    of `n_ranks` ranks, adds them up in pairs by rank, makes the step, and gives its part of the new weights. So the
    result is that of `so.compile` on the `tree_sum` of the gradients, bit for bit, for any number of owners and order
    of arrival. Rules that look at elements or rows are cut anywhere between those; a parameter whose rule looks at all
    of it (LAMB's norms, Muon's matrix) belongs to one owner.

    cluster     a Cluster, or a Transport
    params      arrays in the host's memory, in a dict, a list, or nested ones; new weights are written into them
    rule        as in `so.compile`, whose options are taken too, but for nan_guard
    n_owners    processes; as many as the cluster has shards
    n_ranks     how many give gradients. They are summed; for the mean let the rule rescale, or the loss
    wire        "float16" or "bfloat16": gradients are rounded to it when they are sent, which changes bits
    kept_bytes  of gradients that are kept to replace an owner that is lost; then a snapshot is taken, which needs room
                for weights and states, twice. By default an eighth of what the transport holds
    timeout     seconds after which an owner that does not answer counts as lost, and the next has twice as long; None:
                never
    name        of the processes, and in the cluster, where no other may have it

    With a Cluster it is in its checkpoints: `Cluster.checkpoint` writes weights and states, and a cluster that begins
    with one has them written into `params` and the owners, however many, when the ShardedOptimizer is made. After
    `Cluster.reshard` there are as many owners as shards, unless `n_owners` was given.

    Weights that are changed otherwise than by steps are seen by owners in other processes after `refresh`.

    >>> import numpy as np
    >>> from symopt.distributed import InProcess
    >>> params = {"w": np.ones((2, 3)), "b": np.zeros(3)}
    >>> options = {"n_owners": 2, "n_ranks": 2, "lr": 0.1}
    >>> with ShardedOptimizer(InProcess(), params, "sgd", **options) as optimizer:
    ...     optimizer.step([{"w": np.ones((2, 3)), "b": np.ones(3)}] * 2)
    True
    >>> params["b"]
    array([-0.2, -0.2, -0.2])
    """

    def __init__(
        self,
        cluster: Any,
        params: Tree,
        rule: Any,
        *,
        n_owners: int | None = None,
        n_ranks: int = 1,
        wire: str | None = None,
        kept_bytes: int | None = None,
        timeout: float | None = None,
        name: str = "dense",
        **options: Any,
    ) -> None:
        transport: Transport = getattr(cluster, "transport", cluster)
        follows = n_owners is None
        n_owners = getattr(cluster, "n_shards", 1) if n_owners is None else n_owners
        self.n_ranks = whole(_NAME + "n_ranks", n_ranks, 1)
        self.params, assigned, self._options, place = read(rule, params, **options)
        check_options(self._options, place, wire)
        self._assigned = Assigned(assigned, self._options)
        self._trained = list(self._assigned.groups)
        if not self._trained:
            raise MissingArgumentError("ShardedOptimizer: there is no parameter to train")
        self._views = {n: HOST.as_array(self.params[n], n, mutable=True) for n in self._trained}
        check_graph(self._assigned.groups, self._options, self._views)
        self._modules = modules_of(self._assigned.groups, not transport.may_lose)
        count = whole(_NAME + "n_owners", n_owners, 1, 1 << 16)
        self._ranks = Ranks({n: view.dtype.name for n, view in self._views.items()}, self.n_ranks)
        self.loss_scale: LossScale | None = self._options.loss_scale
        self.updates = self._micro = self._done = 0  # done: steps, those left out too
        self._pushed: dict[int, Kinds] = {}  # of the open step, by rank
        self._broken, self._is_closed = "", False  # why it can't go on
        self._lock = threading.RLock()
        self.name, self._wire, self._timeout = name, wire, timeout
        self._transport, self._cluster = transport, cluster if transport is not cluster else None
        self._kept_most = transport.capacity // 8
        if kept_bytes is not None:
            self._kept_most = whole(_NAME + "kept_bytes", kept_bytes, 0)
        self._recovered = self._generation = 0  # owners of former numbers of shards
        self._follows = follows
        self._own(count)
        try:
            self._steps.begin(0, None)
            if self._cluster is not None:
                enter(self._cluster, name, self, self.go_back)
        except BaseException:
            self._owners.stop()
            raise

    def _own(self, n_owners: int) -> None:
        """Start so many owners, which have nothing yet."""
        loose = not self._transport.may_lose
        self._n_owners = n_owners
        self._pieces = Pieces(self._views, self._assigned, self._options, n_owners, self._wire, loose)
        configs = self._pieces.configs(self._modules, self._options.engine)
        name = f"{self.name}.{self._generation}" if self._generation else self.name
        self._generation += 1
        self._owners = Owners(self._transport, name, configs, self._kept_most, self._timeout)
        self._steps = Steps(
            self._owners, self._pieces, self._assigned, self._options, self._views, self.n_ranks
        )

    def _secure(self, answers: Sequence[Reply]) -> None:
        """Gradients that other processes have, one answer for each owner: see Transport."""
        for line, answer in zip(self._owners.lines, answers, strict=True):
            line.secure(answer)

    def __repr__(self) -> str:
        rules = dict.fromkeys(group.hyper.op.name for group in self._assigned.groups.values())
        return (
            f"<ShardedOptimizer of {len(self._trained)} parameters by {', '.join(rules)} on {self.n_owners} owners, "
            f"{self.updates} updates done>"
        )

    def __enter__(self) -> ShardedOptimizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the owners go. What they have is lost, but for checkpoints: take `state_dict` before."""
        if self._is_closed:
            return
        if self._cluster is not None:
            with self._cluster.lock:
                self._cluster.joined.leave(self.name, self)
        self._owners.stop()
        self._broken, self._is_closed = "it is closed", True

    # ---- what it is

    @property
    def n_owners(self) -> int:
        """Processes that own something."""
        return len(self._owners.lines)

    @property
    def pieces(self) -> list[list[Any]]:
        """What each owner has: `name`, and `start` and `stop` of the elements."""
        return [list(pieces) for pieces in self._pieces.of_owners]

    @property
    def recoveries(self) -> int:
        """How often an owner was replaced."""
        return self._recovered + sum(line.recoveries for line in self._owners.lines)

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of the next update, as `CompiledStep.numbers`."""
        return {name[1:]: value for name, value in self._assigned.numbers(self.updates).items()}

    # ---- changing

    def set(self, pattern: str | None = None, /, **attrs: Any) -> None:
        """Give attributes other values, from the next step on, as `CompiledStep.set`. TooLateError for flags that
        change what states there are, or where the rule may be cut: then none is changed."""
        with self._lock:
            self._set(attrs, pattern)

    def _set(self, attrs: Mapping[str, Any], pattern: str | None = None) -> None:
        if not attrs:
            return
        hypers = [group.hyper for group in self._assigned.unlike]
        before = [(dict(h.values), dict(h.fixed)) for h in hypers]
        if self._assigned.set(pattern, attrs):
            if not self._pieces.fit(self._assigned, self._options):
                for hyper, (values, fixed) in zip(hypers, before, strict=True):
                    hyper.values, hyper.fixed = values, fixed
                raise TooLateError(
                    f"set: {', '.join(attrs)} can't change while owners have states made without it"
                )
            self._steps.forget()

    def refresh(self) -> None:
        """Let owners in other processes take the weights as `params` has them, at the next step. (Where there are
        float32 copies, those count, as with `so.compile`.)"""
        self._steps.is_stale = True
