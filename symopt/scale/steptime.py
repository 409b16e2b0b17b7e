"""Bytes and seconds of one step: rows to the workers, gradients to the shards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..distributed.partition import N_BUCKETS
from .hosts import Hosts
from .job import ID_BYTES, Job
from .results import StepTime, Wire
from .staleness import waiting

CALLS, ANSWERS, PACKING, WORKERS, HOSTS, SHARDS = (
    "calls", "calls at shards", "cores of workers", "network of workers", "network of hosts", "cores of shards",
)  # fmt: skip


class Load(NamedTuple):
    """How a job lies on hosts: their number, that of shards, and of the shards of one; which part of all rows the
    fullest shard and host have; rows of a step that the busiest shard and host get."""

    hosts: int
    shards: int
    shards_of_host: int
    shard_share: float
    host_share: float
    rows: float
    host_rows: float


def load_of(job: Job, hosts: int, shards: int, shards_of_host: int) -> Load:
    """How a job lies on so many hosts. Buckets are whole, so some shards have one more than others."""
    buckets = -(-N_BUCKETS // shards)
    evenly = shards == hosts * shards_of_host  # then the shards of a host have one stretch of buckets
    of_host = -(-N_BUCKETS // hosts) if evenly else min(N_BUCKETS, buckets * shards_of_host)
    share, host_share = buckets / N_BUCKETS, of_host / N_BUCKETS
    rows = job.workers * job.unique
    return Load(
        hosts, shards, shards_of_host, share, host_share,
        peak(rows * share, shards), peak(rows * host_share, hosts),
    )  # fmt: skip


def peak(mean: float, n: int) -> float:
    """About what the fullest of n shards gets where each gets `mean` on average: of a Poisson distribution, the bound
    that all n are likely to be within.

    >>> round(peak(1000, 1)), round(peak(1000, 100)), round(peak(10, 100))
    (1000, 1098, 21)
    """
    spread = 2 * math.log(n)
    return mean + math.sqrt(spread * mean) + spread / 6


def wire(job: Job, load: Load) -> Wire:
    """Lookups send ids and get rows; updates send ids and gradients."""
    up, down = 2 * ID_BYTES + job.gradient, job.weights
    return Wire(
        worker_sends=job.unique * up,
        worker_gets=job.unique * down,
        shard_gets=load.rows * up,
        shard_sends=load.rows * down,
        saved_by_sums=job.repeats,
    )


def step_time(job: Job, machine: Hosts, load: Load) -> StepTime:
    """Seconds of a step. Without staleness: a lookup, the workers' own work, an update, one after the other (`phase`).
    With it they overlap, and the resource that is busiest in all counts."""
    slower = waiting(load.shards, job.staleness, machine.jitter)
    calls = (load.hosts if job.by_host else load.shards) * (job.messages if job.sender == "driver" else 1)
    calling = {
        CALLS: calls * machine.call,
        ANSWERS: job.messages * machine.call,
        PACKING: job.unique * machine.row_pack,
    }
    lookup = _lookup(job, machine, load, slower) | calling
    update = _update(job, machine, load, slower) | calling
    work = {"compute": job.compute, "round trips": 2 * machine.round_trip}
    if job.staleness:
        busy = {name: lookup[name] + update[name] for name in lookup} | {"compute": job.compute}
        bound = max(busy, key=lambda name: busy[name])
        seconds = busy[bound]
    else:
        seconds = phase(lookup) + phase(update) + sum(work.values())
        every = {**_named("lookup", lookup), **_named("update", update), **work}
        bound = max(every, key=lambda name: every[name])
    return StepTime(seconds, bound, lookup, update, work["round trips"], job.compute, slower, 2 * calls)


def phase(parts: Mapping[str, float]) -> float:
    """Seconds of a lookup or an update that nothing overlaps: rows are packed, messages made, bytes sent, rows worked
    on, one after the other. Of both ends of messages, and of networks, the slower counts."""
    calling, sending = max(parts[CALLS], parts[ANSWERS]), max(parts[WORKERS], parts[HOSTS])
    return parts[PACKING] + calling + sending + parts[SHARDS]


def _lookup(job: Job, machine: Hosts, load: Load, slower: float) -> dict[str, float]:
    each = max(ID_BYTES, job.weights)
    reading = load.rows * machine.row_read / machine.gain(load.shards_of_host)
    return {
        WORKERS: job.unique * each / machine.network,
        HOSTS: load.host_rows * each / machine.network,
        SHARDS: reading * slower,
    }


def _update(job: Job, machine: Hosts, load: Load, slower: float) -> dict[str, float]:
    each = ID_BYTES + job.gradient
    updating = load.rows * machine.row_update / machine.gain(load.shards_of_host)
    return {
        WORKERS: job.unique * each / machine.network,
        HOSTS: load.host_rows * each / machine.network,
        SHARDS: updating * slower,
    }


def _named(kind: str, parts: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}, {kind}": seconds for name, seconds in parts.items()}
