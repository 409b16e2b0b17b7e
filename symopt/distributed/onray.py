"""Processes of a cluster as actors of Ray, and its object store for what they are sent.

Ray restarts and retries nothing here: a call that is made twice, or by a process that has lost its state, is worse than
one that fails (its retries don't even keep their order)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ClusterError, ProcessLostError
from . import rayprocess
from .arena import Memory
from .beside import Beside, Lent, NearReply
from .near import wait_for_any
from .raised import Raised
from .rayerrors import gone
from .rayhandles import GROUPS, Host, Reply, made
from .raymetrics import Metrics
from .raystart import Instance
from .raystore import Held, Store
from .transport import LARGE, WRITES, size

MIXED_SECONDS = 0.002  # between looks at processes of both kinds
WAIT_SECONDS = 1.0  # and at those of this machine


class OnRay:
    """A Transport over Ray: `symopt[ray]`.

    address     of a cluster to join, as `ray.init` takes it; None starts an instance on this machine's loopback, or
                uses Ray as the program has started it, and then leaves it running
    num_cpus    of an own instance: how many of its processes are started ahead
    store_bytes size of an own instance's store; what is put when it is full is an error, and is not spilled to disk
    threads     of each process
    spares      processes that stand by, so that a new one is there at once
    paths       folders to import from, for processes on machines that don't have symopt on their path
    metrics     whether the numbers of the cluster are among Ray's, named symopt_...; None: if there is its dashboard
    share       processes on this machine share memory with this one, and are called without Ray, which takes a tenth of
                the time; without, all are called as those on other machines are
    reserve     what Ray reserves for each process, and where: options of `ray.remote`, e.g. {"num_cpus": 4, "memory":
                1 << 36, "scheduling_strategy": "SPREAD"}

    ClusterError if there can't be one, DependencyError without Ray.

    >>> with OnRay(num_cpus=1, store_bytes=80 << 20) as transport:  # doctest: +SKIP
    ...     host = transport.start("collections:Counter", "count", {"a": 2})
    ...     transport.wait(transport.call(host, "most_common", 1))
    [('a', 2)]
    """

    may_lose = True

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: int | None = None,
        store_bytes: int | None = None,
        threads: int = 1,
        spares: int = 0,
        paths: Sequence[str] = (),
        reserve: Mapping[str, Any] | None = None,
        namespace: str | None = None,
        dashboard: bool = False,
        metrics: bool | None = None,
        share: bool = True,
        temp_dir: str | None = None,
    ) -> None:
        self._instance = Instance(
            address,
            num_cpus=num_cpus,
            store_bytes=store_bytes,
            namespace=namespace,
            dashboard=dashboard,
            temp_dir=temp_dir,
        )
        self._ray = ray = self._instance.ray
        self.store, self.capacity = Store(self._instance, share), self._instance.capacity
        self.metrics = Metrics() if metrics or (metrics is None and dashboard) else None
        self._threads, self._spares = threads, spares
        self._versions = rayprocess.versions()
        self._waiting: dict[str, list[Host]] = {}  # spares, by the module that they have imported
        self.hosts: list[Host] = []  # that were started, spares too, and not stopped
        self._reserve = {"num_cpus": 0, **(reserve or {})}
        options: dict[str, Any] = {**self._reserve, "max_restarts": 0, "max_task_retries": 0}
        if paths:
            options["runtime_env"] = {"env_vars": {"PYTHONPATH": ":".join(paths)}}
        self._actor = ray.remote(concurrency_groups=GROUPS, **options)(rayprocess.Process)

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Host:
        """See Transport."""
        self._check_open()
        module = service.partition(":")[0]
        waiting = self._waiting.setdefault(module, [])
        host = waiting.pop() if waiting else self._started(module)
        host.name = name
        memories = None
        if self.store.arena is not None:
            host.memory = Memory(self.capacity)
            memories = (self.store.arena.where, host.memory.where)
        host.made = host.actor.make.options(concurrency_group=WRITES).remote(
            service, dict(config), self._threads, self._versions, memories
        )
        waiting += [self._started(module) for _ in range(self._spares - len(waiting))]
        return host

    def _started(self, module: str) -> Host:
        host = Host(self._actor.remote(module), "spare")
        self.hosts.append(host)
        return host

    def call(
        self,
        host: Host,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:
        """See Transport."""
        self._check_open()
        try:
            beside = self._beside(host)
            replies: list[Any]
            if beside is not None:
                replies = self._called_beside(beside, method, args, returns, lane)
            else:
                found = host.calling(lane, returns).remote(method, returns, *map(self._for_ray, args))
                read = [*args]
                replies = [Reply(ref, host, read) for ref in ([found] if returns == 1 else found)]
        except self._instance.full as error:
            raise self.store.no_room(error) from None
        except self._instance.lost as error:
            raise self._gone(error, host) from None
        return replies[0] if returns == 1 else replies

    def _beside(self, host: Host) -> Beside | None:
        """The process as one of this machine, if it is. The first call waits until it is made."""
        if host.beside is None and host.memory is not None:
            try:
                address = made(self._ray, host, self._reserve)
            except TimeoutError as error:
                raise self._gone(error, host) from None
            if address is None:
                host.memory = None
            else:
                host.beside = Beside(host.name, host.memory, address, self.store.readers)
        return host.beside

    def _called_beside(
        self, beside: Beside, method: str, args: tuple[Any, ...], returns: int, lane: str
    ) -> list[NearReply]:
        try:
            sent = [self._for_beside(a) for a in args]
        except ProcessLostError as error:  # that was to answer what is passed on
            return beside.failed(error, returns)
        replies = beside.call(method, [s.shared if type(s) is Held else s for s in sent], returns, lane)
        for reply in replies:
            reply.args = (*args, *sent)
        return replies

    def _for_beside(self, arg: Any) -> Any:
        """What is sent for an argument on this machine: what is small itself, or where it lies."""
        if type(arg) is NearReply:
            return arg.raw()
        if type(arg) is Reply:
            return self._near(arg)
        if type(arg) is Held and arg.shared is None:
            arg = self._ray.get(arg.ref)
        if type(arg) is Held or size(arg) < LARGE:
            return arg
        return self.put(arg)

    def _near(self, reply: Reply) -> Any:
        """What another machine answered, for processes of this one. They may read it until nobody holds the answer."""
        if reply.near is None:
            found = self._got(reply, None)
            if size(found) < LARGE:
                return found
            reply.near = self.put(found)
        return reply.near

    def _for_ray(self, arg: Any) -> Any:
        """What Ray is given for an argument."""
        if type(arg) is Reply:
            return arg.ref
        found = arg.raw() if type(arg) is NearReply else arg
        return self.store.for_ray(found) if isinstance(found, Lent | Held) else found

    def wait(self, reply: Reply | NearReply, timeout: float | None = None) -> Any:
        """See Transport."""
        self._check_open()
        if type(reply) is NearReply:
            return reply.beside.read(reply, timeout)
        assert type(reply) is Reply
        found = self._got(reply, timeout)
        if type(found) is Raised:
            raise found.error
        return found

    def _got(self, reply: Reply, timeout: float | None) -> Any:
        try:
            found = self._ray.get(reply.ref, timeout=timeout)
            reply.args.clear()
            return found
        except self._ray.exceptions.GetTimeoutError:
            raise TimeoutError(f"{reply.host.name} has not answered after {timeout:g} s") from None
        except self._instance.full as error:
            raise self.store.no_room(error) from None
        except self._instance.lost as error:
            raise self._gone(error, reply.host) from None

    def is_done(self, reply: Reply | NearReply) -> bool:
        """See Transport."""
        if type(reply) is NearReply:
            return reply.is_done()
        assert type(reply) is Reply
        return bool(self._ray.wait([reply.ref], timeout=0, fetch_local=False)[0])

    def ready(self, replies: Sequence[Any], timeout: float | None = None) -> list[Any]:
        """See Transport."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        refs = [reply.ref for reply in replies if type(reply) is Reply]
        channels = list({reply.channel for reply in replies if type(reply) is NearReply})
        while not (done := [reply for reply in replies if self.is_done(reply)]):
            left = until - time.monotonic()
            if left <= 0:
                break
            if not channels:
                self._ray.wait(
                    refs, num_returns=1, timeout=None if timeout is None else left, fetch_local=False
                )
            else:
                wait_for_any(channels, min(left, MIXED_SECONDS if refs else WAIT_SECONDS))
        return done

    def put(self, value: Any) -> Held:
        """See Transport."""
        self._check_open()
        return self.store.put(value)

    def secure(self, reply: Reply | NearReply, host: Host, timeout: float | None = None) -> None:
        """See Transport. What is read here lies in this machine's store, from which Ray gives it to others when the
        machine is lost that had it first."""
        if type(reply) is not Reply or reply.copy is not None:
            return
        machine, _ = self._about(host)
        if machine is None or machine == rayprocess.machine() or machine != self._about(reply.host)[0]:
            return
        try:
            reply.copy = self._got(reply, timeout)
        except TimeoutError as error:
            raise self._gone(error, reply.host) from None

    def process_id(self, host: Host) -> int | None:
        """See Transport."""
        machine, number = self._about(host)
        return number if machine == rayprocess.machine() else None

    def _about(self, host: Host) -> tuple[str | None, int | None]:
        """The machine of a process, and its number there; None if it is gone, and nobody had asked."""
        if host.machine is None:
            with contextlib.suppress(*self._instance.lost):
                host.machine, host.number = self._ray.get(host.about)
        return host.machine, host.number

    def stop(self, host: Host) -> None:
        """See Transport."""
        if host.beside is not None:
            host.beside.close()
        if self._ray.is_initialized():
            self._ray.kill(host.actor, no_restart=True)
        self.hosts = [each for each in self.hosts if each is not host]
        for waiting in self._waiting.values():
            waiting[:] = [each for each in waiting if each is not host]

    def close(self) -> None:
        """See Transport. Ends Ray too, if it was started or joined here."""
        hosts, self.hosts, self._waiting = self.hosts, [], {}
        self._instance.close([host.actor for host in hosts])

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check_open(self) -> None:
        """Ray would start by itself, with settings of its own."""
        if not self._ray.is_initialized():
            raise ClusterError("Ray has been shut down: this cluster is closed")

    def _gone(self, error: Exception, host: Host) -> ProcessLostError | ClusterError:
        return gone(error, host, self.hosts)
