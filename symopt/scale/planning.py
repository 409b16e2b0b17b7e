"""Hosts, bytes and seconds of a job."""

from __future__ import annotations

import math

from ..distributed.partition import N_BUCKETS
from ..embedding.options import whole
from ..errors import AttributeValueError
from ..idmap.inserted import MOST_SLOTS
from .given import quantity
from .hosts import Hosts
from .job import ID_BYTES, Job
from .results import Checkpoint, Plan, Recovery
from .steptime import Load, load_of, step_time, wire

MEMORY, SPEED, GIVEN = "memory", "step time", "given"


def plan(
    job: Job,
    machine: Hosts | None = None,
    *,
    hosts: int | None = None,
    shards: int | None = None,
    step_time: float | None = None,
) -> Plan:
    """What a job takes: as many hosts as its rows need, and more if a step is to take at most `step_time` seconds.

    hosts, shards: how many there are, in place of how many are needed; one of them. A host has more shards than
    `machine` says where the rows of one could not be numbered otherwise (2**32).

    AttributeValueError for contradictions, and where no number of hosts would do.

    >>> from symopt.embedding import Segment
    >>> found = plan(Job(10**9, Segment(64, "adam", learning_rate=0.1)), hosts=2)
    >>> found.fits, found.because, round(found.memory / 1e9)
    (True, 'given', 402)
    """
    machine = machine or Hosts()
    if (hosts is not None) + (shards is not None) + (step_time is not None) > 1:
        raise AttributeValueError("a plan: give one of hosts, shards and step_time")
    if hosts is not None or shards is not None:
        return _laid_out(job, machine, *_given(job, machine, hosts, shards), GIVEN)
    fewest = _fewest(job, machine)
    if step_time is None:
        return _laid_out(job, machine, fewest, *_shards(job, machine, fewest), MEMORY)
    found = _fast_enough(job, machine, fewest, quantity("a plan: step_time", step_time))
    return _laid_out(job, machine, found, *_shards(job, machine, found), SPEED if found > fewest else MEMORY)


# ---- how many


def _given(job: Job, machine: Hosts, hosts: int | None, shards: int | None) -> tuple[int, int, int]:
    """Hosts, shards, and shards of a host."""
    if hosts is not None:
        count = whole("a plan: hosts", hosts, 1, N_BUCKETS)
        return (count, *_shards(job, machine, count))
    count = whole("a plan: shards", shards, 1, N_BUCKETS)
    if _rows(job, count) > MOST_SLOTS:
        raise AttributeValueError(
            f"a plan: {count} shards would have up to {_rows(job, count):,.0f} rows each, and a table numbers 2**32"
        )
    return -(-count // machine.shards), count, min(machine.shards, count)


def _fewest(job: Job, machine: Hosts) -> int:
    """Hosts whose memory holds all rows: each has whole buckets."""
    bucket = job.rows * job.row().memory / N_BUCKETS
    buckets = int(machine.room // bucket)
    if not buckets:
        raise AttributeValueError(
            f"a plan: a host has room for {machine.room:,.0f} bytes of rows, and one of the {N_BUCKETS:,} parts that a "
            f"table may be cut into has {bucket:,.0f}"
        )
    return -(-N_BUCKETS // buckets)


def _shards(job: Job, machine: Hosts, hosts: int) -> tuple[int, int]:
    """Shards of so many hosts, and of each."""
    each = machine.shards
    while each * hosts <= N_BUCKETS:
        if _rows(job, each * hosts) <= MOST_SLOTS:
            return each * hosts, each
        each += 1
    raise AttributeValueError(
        f"a plan: {hosts} hosts with {each} shards each are more than the {N_BUCKETS:,} parts that a table may be cut "
        "into: plan with fewer shards a host, or larger hosts"
    )


def _rows(job: Job, shards: int) -> float:
    """Rows of the fullest shard."""
    return job.rows * -(-N_BUCKETS // shards) / N_BUCKETS


def _fast_enough(job: Job, machine: Hosts, fewest: int, wanted: float) -> int:
    """The least number of hosts, from the fewest on, whose steps take no longer: by steps of 1 %, then one by one."""

    def seconds(hosts: int) -> float:
        return step_time(job, machine, load_of(job, hosts, *_shards(job, machine, hosts))).seconds

    most = N_BUCKETS // _shards(job, machine, fewest)[1]
    below, hosts, best = fewest - 1, fewest, (math.inf, fewest)
    while hosts <= most:
        best = min(best, (seconds(hosts), hosts))
        if best[0] <= wanted:
            return next(n for n in range(below + 1, hosts + 1) if seconds(n) <= wanted)
        below, hosts = hosts, max(hosts + 1, hosts * 101 // 100)
    bound = step_time(job, machine, load_of(job, best[1], *_shards(job, machine, best[1]))).bound
    raise AttributeValueError(
        f"a plan: no number of hosts makes steps of {wanted:g} s; {best[1]} come nearest, with {best[0]:.3g} s, "
        f"bound by {bound}"
    )


# ---- what then


def _laid_out(job: Job, machine: Hosts, hosts: int, shards: int, each: int, because: str) -> Plan:
    load, row = load_of(job, hosts, shards, each), job.row()
    time = step_time(job, machine, load)
    memory = job.rows * load.host_share * row.memory
    gradients = job.workers * job.unique * (ID_BYTES + job.gradient)
    return Plan(
        hosts=hosts,
        shards=shards,
        because=because,
        fits=memory <= machine.room,
        memory=memory,
        room=machine.room,
        total=job.rows * row.memory,
        rows_per_shard=job.rows * load.shard_share,
        buckets=load.shard_share * shards,
        peak=load.rows * shards / (job.workers * job.unique),
        row=row,
        wire=wire(job, load),
        step=time,
        checkpoint=_checkpoint(job, machine, load, time.seconds),
        recovery=_recovery(job, machine, load),
        kept=gradients * job.checkpoint_every,
        in_flight=gradients * job.window,
    )


def _checkpoint(job: Job, machine: Hosts, load: Load, seconds: float) -> Checkpoint:
    saved = job.row().saved
    touched = min(job.rows, job.workers * job.unique * job.checkpoint_every)
    own = saved * load.host_share / machine.disk
    return Checkpoint(
        full_bytes=job.rows * saved,
        full_seconds=job.rows * own,
        delta_bytes=touched * saved,
        delta_seconds=touched * own,
        every=seconds * job.checkpoint_every,
    )


def _recovery(job: Job, machine: Hosts, load: Load) -> Recovery:
    """Gradients come from where they were kept, no faster than one network has them, each in a message as before."""
    loading = job.rows * load.shard_share * job.row().saved / machine.disk
    rows = job.workers * job.unique * job.checkpoint_every * load.shard_share
    arriving = rows * (ID_BYTES + job.gradient) / machine.network
    updating = rows * machine.row_update / machine.gain(load.shards_of_host)
    calling = job.messages * job.checkpoint_every * machine.call
    alone = max(arriving, updating, calling)
    together = max(arriving * load.shards_of_host, updating, calling * load.shards_of_host)
    host = machine.start + loading * load.shards_of_host + together
    return Recovery(start=machine.start, load=loading, replay=alone, host=host)
