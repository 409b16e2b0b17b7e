"""Ray is started so that nobody else reaches it and nothing is left of it, joined, or used as it is."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from symopt.distributed.onray import OnRay
from symopt.distributed.rayfolder import Folder
from symopt.distributed.raystart import import_ray
from symopt.errors import DependencyError

# A program that starts Ray where another symopt lies, says so, and waits.
PROGRAM = """
import os, sys
from symopt.distributed.onray import OnRay
from symopt.errors import ClusterError

environment, folder = dict(os.environ), os.getcwd()
for _ in range(2):  # the second is another instance, with another token
    transport = OnRay(num_cpus=1, store_bytes=80 << 20, temp_dir=sys.argv[1])
    host = transport.start("rayserved:Service", "shard 0", {})
    assert transport.wait(transport.call(host, "echo", 1)) == 1
    if not _:
        transport.close()
        for use in (lambda: transport.call(host, "echo", 1), lambda: transport.put(1)):
            try:
                use()
            except ClusterError:
                continue
            raise AssertionError("used after it was closed")
changed = {k for k in os.environ if k.startswith("RAY_AUTH") and environment.get(k) != os.environ[k]}
print(transport._ray.nodes()[0]["NodeManagerAddress"], sorted(changed), transport.process_id(host), flush=True)
sys.stdin.read()
"""


def is_gone(process: int) -> bool:
    """Whether there is no such process, soon."""
    for _ in range(600):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def temp() -> Iterator[Path]:
    """A folder with a short name, since names of sockets are; and tmp_path's isn't."""
    with tempfile.TemporaryDirectory(prefix="ray") as path:
        yield Path(path)


@pytest.mark.slow
def test_a_killed_program_leaves_nothing(temp: Path) -> None:
    """Its processes end with it; its folder goes when another starts."""
    pytest.importorskip("ray")
    (temp / "symopt").mkdir()
    (temp / "symopt" / "__init__.py").write_text("raise ImportError('the wrong symopt')")
    path = os.pathsep.join(filter(None, sys.path))
    program = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, str(temp)],
        env=os.environ | {"PYTHONPATH": path},
        cwd=temp,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    address, changed, number = program.stdout.readline().split()
    program.kill()
    program.communicate()
    assert (address, changed) == ("127.0.0.1", "[]")
    assert is_gone(int(number))
    assert len(list(temp.glob("symopt-ray-*"))) == 1
    Folder(str(temp)).remove()
    assert not list(temp.glob("symopt-ray-*"))


def test_folders_of_running_programs_stay(tmp_path: Path) -> None:
    first, second = Folder(str(tmp_path)), Folder(str(tmp_path))
    assert Path(first.path).exists() and Path(second.path).exists()
    first._lock.close()  # as if its program had ended
    third = Folder(str(tmp_path))
    assert not Path(first.path).exists() and Path(second.path).exists()
    second.remove()
    third.remove()
    assert not list(tmp_path.iterdir())


def test_folders_that_are_made_at_once(tmp_path: Path) -> None:
    """One that is being made looks as if its program were gone."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: Folder(str(tmp_path)), range(200)))
        assert all(Path(folder.path, "lock").exists() for folder in made)
        for folder in made:
            folder.remove()
    assert not list(tmp_path.iterdir())


def test_ray_that_runs_is_used_and_left(ray_transport: OnRay) -> None:
    with OnRay() as transport:
        assert transport.capacity == ray_transport.capacity
        host = transport.start("rayserved:Service", "shard 0", {})
        assert transport.wait(transport.call(host, "echo", 1)) == 1
    assert ray_transport._ray.is_initialized()
    number = ray_transport.process_id(host)
    assert number is not None and is_gone(number)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "no address"])
def test_an_address_where_nothing_is(address: str) -> None:
    """In a process of its own: this one may have Ray."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        given = address.format(port=free.getsockname()[1])
    run = f"from symopt.distributed.onray import OnRay; OnRay({given!r})"
    found = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
    assert f"ClusterError: could not join Ray at {given!r}" in found.stderr


def test_a_store_that_cannot_be() -> None:
    pytest.importorskip("ray")
    run = "from symopt.distributed.onray import OnRay; OnRay(store_bytes=5)"
    found = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
    assert "ClusterError: could not start Ray on this machine" in found.stderr
    assert "5 bytes" in found.stderr and "/dev/shm" in found.stderr


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install 'symopt\[ray\]'"):
        import_ray()
    with pytest.raises(DependencyError):
        OnRay()
