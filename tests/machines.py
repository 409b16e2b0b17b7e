"""Several machines on one: each has a network, processes, a name, shared memory and a folder of its own, made of Linux
namespaces. A bridge joins them. It needs root; nothing of the host's network is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

SHM_BYTES = 256 << 20
STORE_BYTES = 96 << 20
TOKEN = "of-these-machines"  # what their Ray asks for
SECONDS = 60.0
HOLD = ["sleep", "infinity"]
OWN = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


@cache
def why_not() -> str:
    """Why there can't be machines here, or nothing."""
    tools = [tool for tool in ("unshare", "nsenter", "ip", "mount") if shutil.which(tool) is None]
    if tools or not sys.platform.startswith("linux"):
        return f"machines of namespaces need Linux with {', '.join(tools) or 'namespaces'}"
    tried = subprocess.run(
        [*OWN, "--uts", "ip", "link", "add", "bridge", "type", "bridge"], capture_output=True
    )
    return "" if tried.returncode == 0 else "machines of namespaces need root, and its rights"


class Machine:
    """`name` at `address`; `wire` is its end of the cable at the bridge."""

    def __init__(self, machines: Machines, number: int) -> None:
        self.name, self.address, self.wire = f"m{number}", f"10.77.0.{number}", f"v{number}"
        self._machines = machines
        begin = (
            f"hostname {self.name} && mount -t tmpfs -o size={SHM_BYTES} none /dev/shm && "
            f"mount -t tmpfs none {machines.own} && ip link set lo up && exec {' '.join(HOLD)}"
        )
        inside = [*OWN, "--uts", "--ipc", "sh", "-c", begin]
        self._process = subprocess.Popen(
            ["nsenter", f"--target={machines.first}", "--mount", "--net", *inside]
        )
        self.first = first_of(self._process.pid)
        machines.ip(f"link add {self.wire} type veth peer name eth0 netns {self.first}")
        machines.ip(f"link set {self.wire} master bridge up")
        for what in (f"addr add {self.address}/24 dev eth0", "link set eth0 up"):
            subprocess.run([*self.inside, "ip", *what.split()], check=True)

    @property
    def inside(self) -> list[str]:
        """What a command begins with that runs on this machine."""
        return ["nsenter", f"--target={self.first}", "--all", f"--wd={os.getcwd()}"]

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command on it."""
        environment = {**os.environ, **self._machines.environment}
        return subprocess.Popen([*self.inside, *command], env=environment, text=True, **options)

    def run(self, *command: str) -> str:
        """What a command on it prints. AssertionError if it fails."""
        process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said
        return said

    def cut(self) -> None:
        """Pull its cable out: whoever sends to it waits."""
        self._machines.ip(f"link set {self.wire} down")

    def join(self) -> None:
        """Put it back in."""
        self._machines.ip(f"link set {self.wire} up")

    def lose(self) -> None:
        """Power off: its processes and its memory are gone, at once."""
        os.kill(self.first, signal.SIGKILL)
        self._process.wait(SECONDS)


class Machines:
    """`n` machines, with Ray: the first has its head. `shared`: a folder that all reach; `own`: one that each has for
    itself."""

    def __init__(self, n: int, cpus: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))  # sockets have short names
        self.shared, self.own = self.folder / "shared", self.folder / "own"
        self.shared.mkdir()
        self.own.mkdir()
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parent}",
        }
        self._process = subprocess.Popen([*OWN, "sh", "-c", f"ip link set lo up && exec {' '.join(HOLD)}"])
        try:
            self.first = first_of(self._process.pid)
            self.ip("link add bridge type bridge")
            self.ip("link set bridge up")
            self.every = [Machine(self, 1 + k) for k in range(n)]
            for machine in self.every:
                self._start_ray(machine, cpus)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """Of Ray."""
        return f"{self.every[0].address}:6379"

    def _start_ray(self, machine: Machine, cpus: int) -> None:
        is_head = machine is self.every[0]
        where = (
            ["--head", "--port=6379", f"--temp-dir={self.own}/ray", "--include-dashboard=false"]
            if is_head
            else [f"--address={self.address}"]
        )
        size = [f"--num-cpus={cpus}", f"--object-store-memory={STORE_BYTES}"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *where, *size]
        machine.run(*command, f"--node-ip-address={machine.address}", "--disable-usage-stats")

    def ip(self, what: str) -> None:
        """Change the network."""
        subprocess.run(["nsenter", f"--target={self.first}", "--net", "ip", *what.split()], check=True)

    def __enter__(self) -> Machines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Power all off."""
        for machine in getattr(self, "every", []):
            machine._process.kill()
        self._process.kill()
        self._process.wait(SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def first_of(unshare: int) -> int:
    """The process that `unshare` has started in its namespaces, once it holds them."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        if found and Path(f"/proc/{found[0]}/comm").read_text().strip() == HOLD[0]:
            return int(found[0])
        time.sleep(0.02)
    raise TimeoutError("no machine was started")
