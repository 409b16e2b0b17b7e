"""Ray, started on this machine, joined, or used as the program has started it."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ..config import cores, environment, given_environment
from ..errors import ClusterError, DependencyError
from .rayfolder import Folder

STORE_SHARE = 0.9  # of the store, for what is put: the rest is for answers, and lost between pieces

# What is put into a full store fails at once. Ray would spill to disk, and else put it in a file next to it; of the
# disk it is told that none of it may be used.
NO_SPILLING = {
    "automatic_object_spilling_enabled": False,
    "oom_grace_period_s": 0,
    "local_fs_capacity_threshold": 0.0,
}


def import_ray() -> Any:
    """The module; DependencyError without it."""
    try:
        with environment(RAY_USAGE_STATS_ENABLED="0"):
            import ray
    except ImportError as error:
        raise DependencyError(
            f"a cluster of processes needs Ray ({error}): pip install 'symopt[ray]'. It has wheels for CPython "
            f"3.11 to 3.14, and this is {sys.implementation.name} {sys.version.split()[0]}; without it, "
            "Cluster() runs all shards in this process"
        ) from None
    return ray


class Instance:
    """Ray as this process is connected to it. `ray` the module, `capacity` in bytes, `lost` and `full` its errors."""

    def __init__(
        self,
        address: str | None,
        *,
        num_cpus: int | None,
        store_bytes: int | None,
        namespace: str | None,
        dashboard: bool,
        temp_dir: str | None,
    ) -> None:
        self.ray = ray = import_ray()
        self._folder: Folder | None = None
        self.is_own = not ray.is_initialized()
        if self.is_own and address is not None:
            self._join(address, namespace)
        elif self.is_own:
            self._start(num_cpus, store_bytes, namespace, dashboard, temp_dir)
        atexit.register(self.close)
        raised = ray.exceptions
        self.full = (raised.ObjectStoreFullError, raised.OutOfDiskError)
        self.lost = (
            raised.RayActorError,
            raised.ObjectLostError,
            raised.RaySystemError,
            raised.WorkerCrashedError,
        )
        self.capacity = int(STORE_SHARE * self._store_bytes())

    def _join(self, address: str, namespace: str | None) -> None:
        with self._clear(f"join Ray at {address!r}", "is the address right, and reached from here?"):
            reach(address)
            self.ray.init(address, namespace=namespace, log_to_driver=False, configure_logging=False)

    def _start(
        self,
        num_cpus: int | None,
        store_bytes: int | None,
        namespace: str | None,
        dashboard: bool,
        temp_dir: str | None,
    ) -> None:
        self._folder = Folder(temp_dir)
        with (
            self._clear("start Ray on this machine", "is /dev/shm as large as store_bytes?"),
            on_loopback(self.ray),
        ):
            self.ray.init(
                "local",
                num_cpus=num_cpus or cores(),
                object_store_memory=store_bytes,
                namespace=namespace,
                include_dashboard=dashboard,
                log_to_driver=False,
                configure_logging=False,
                job_config=importing(self.ray, sys.path),
                _node_ip_address="127.0.0.1",
                _temp_dir=self._folder.path,
                _system_config=NO_SPILLING,
            )

    @contextlib.contextmanager
    def _clear(self, doing: str, remedy: str) -> Iterator[None]:
        """What Ray raises is a ClusterError; what it does with signals is undone."""
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM) if in_main else None
        try:
            yield
        except (OSError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            self.close()
            raise ClusterError(
                f"could not {doing}: {type(error).__name__}: {str(error).strip()}\n  {remedy}"
            ) from error
        finally:
            if in_main:
                signal.signal(signal.SIGTERM, before)

    def _store_bytes(self) -> int:
        """Of the store of this machine."""
        here = self.ray.get_runtime_context().get_node_id()
        node = next(n for n in self.ray.nodes() if n["NodeID"] == here)
        return int(node["Resources"]["object_store_memory"])

    def close(self, actors: Sequence[Any] = ()) -> None:
        """Let the actors go, and Ray, if it was started or joined here."""
        atexit.unregister(self.close)
        if self.ray.is_initialized():
            for actor in actors:
                self.ray.kill(actor)
            if self.is_own:
                self.ray.shutdown()
        if self._folder is not None:
            read_authentication(self.ray)
            self._folder.remove()


@contextlib.contextmanager
def on_loopback(ray: Any) -> Iterator[None]:
    """An instance that is started in here listens on 127.0.0.1 only, and answers only processes with its token.

    Ray takes that address for "the one that others reach this machine by", and listens on all of them, unless it is
    told that this machine can't be part of a cluster."""
    wanted = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    if not given_environment("RAY_AUTH_"):
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False  # read from the environment when Ray was imported
    try:
        with environment(**wanted):
            read_authentication(ray)
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def read_authentication(ray: Any) -> None:
    """Ray keeps what its variables said when they were first read: it is to read them anew."""
    tokens = getattr(ray._raylet, "AuthenticationTokenLoader", None)  # Ray before 2.52 has none
    if tokens is not None:
        ray._raylet.Config.initialize("")
        tokens.instance().reset_cache()


class Searched(list[str]):
    """Folders that Ray adds none to: it would put the current one first, where another symopt may lie."""

    def extend(self, more: object) -> None:
        """Nothing."""


def importing(ray: Any, path: Sequence[str]) -> Any:
    """The setting of a job whose processes search the folders of `path` in this order."""
    config = ray.job_config.JobConfig()
    config._py_driver_sys_path = Searched(os.path.abspath(p or ".") for p in reversed(path))
    return config


def reach(address: str) -> None:
    """ConnectionError at once if nothing listens there: Ray would try for a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()
