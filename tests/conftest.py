"""Options of the test suite, and what every test leaves behind: nothing."""

import functools
import gc
import hashlib
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import rays
from fault_counts import Faults
from where import Emulated, OnGpu, Where

import symopt as so
from symopt import step
from symopt.backends import launch
from symopt.backends.base import Engine
from symopt.backends.choose import make_engine
from symopt.backends.cuda import emulator, hostcompiler
from symopt.backends.cuda import nvrtc as nvrtc_module
from symopt.backends.cuda.cupydevice import cupy_device
from symopt.backends.cuda.nvrtc import load_nvrtc
from symopt.canonical import BLOCK
from symopt.distributed.onray import OnRay
from symopt.emulatedarrays import emulated_gpus
from symopt.errors import SymoptError
from symopt.opdef import OPS
from symopt.places import Place, place_of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*.txt anew")
    parser.addoption("--site", help="a folder with the pages that `mkdocs build` made: check those")
    parser.addoption(
        "--all-kernels", action="store_true", help="compile and emulate every CUDA kernel, not a sample"
    )
    parser.addoption("--all-faults", action="store_true", help="every fault of files, not a tenth of them")
    parser.addoption("--fault-seed", type=int, default=0, help="which tenth, and which random faults")
    parser.addoption(
        "--on-emulator", action="store_true", help="run CUDA text, emulated, where LLVM's code would run"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--on-emulator"):
        make = make_engine

        def emulated(name: str, *rest: Any) -> Engine:
            return make("reference" if name == "reference" else "emulator", *rest)

        setattr(step, "make_engine", emulated)  # noqa: B010  where steps look it up


# ---- what ran


_of_workers: dict[str, set[str]] = {"compiled": set(), "emulated": set()}


def _kernels() -> dict[str, set[str]]:
    """Digests of the kernels that this process compiled with NVRTC, and of those that it emulated."""
    of = {"compiled": nvrtc_module._compiled, "emulated": emulator._emulated}
    return {
        what: {hashlib.sha256("\0".join(k).encode()).hexdigest() for k in kernels}
        for what, kernels in of.items()
    }


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # of a worker of xdist
    if output is not None:
        output["kernels"] = {what: sorted(kernels) for what, kernels in _kernels().items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for what, kernels in getattr(node, "workeroutput", {}).get("kernels", {}).items():
        _of_workers[what].update(kernels)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How much CUDA was tested: kernels that several workers had count once."""
    compiled, emulated = (len(_of_workers[what] | own) for what, own in _kernels().items())
    ran = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    on_gpu = sum("gpu" in r.keywords for r in ran)
    terminalreporter.write_sep("-", "CUDA")
    terminalreporter.write_line(
        f"{compiled} kernels compiled by NVRTC, {emulated} kernels emulated, {on_gpu} tests run on a GPU"
    )


# ---- what is there


@functools.cache
def no_gpu() -> str:
    """Why no test can run on a GPU here, or nothing."""
    try:
        cupy_device(0)
    except SymoptError as error:
        return str(error)
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked gpu are skipped without one; with SYMOPT_GPU=1 they fail, so that such a run is none of skips."""
    if item.get_closest_marker("gpu") and no_gpu():
        if os.environ.get("SYMOPT_GPU") == "1":
            pytest.fail(no_gpu(), pytrace=False)
        pytest.skip(no_gpu())


@pytest.fixture(scope="session")
def nvrtc() -> None:
    """For tests that compile CUDA code: skipped where nothing can, which where CI is set is a failure."""
    try:
        load_nvrtc()
    except so.errors.DependencyError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C raises in a test, and in what it starts, however the run was started: shells let what runs behind them
    ignore it, others block it. A test that leaves another handler behind fails."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        pytest.fail(f"SIGINT does not raise here; it was handled by {before}, blocked were {blocked}")
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def no_collections() -> Iterator[None]:
    """For signals that come at any time: hypothesis watches collections, and what is raised while it does is lost."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def registered_ops() -> Iterator[None]:
    """Ops that a test or an example registers are gone after it: others go through all of them, or take their name."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.fixture
def library_ops(registered_ops: None) -> None:
    """No ops but the library's: modules of tests register theirs when they are imported."""
    tests = os.path.dirname(__file__)
    for name in [n for n, op in OPS.items() if op.where.file.startswith(tests)]:
        del OPS[name]


@pytest.fixture
def shared_early(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small launches are shared out over threads too, so that the number of threads can show."""
    monkeypatch.setattr(launch, "SHARED_BYTES", {})
    monkeypatch.setattr(launch, "SHARED_BYTES_DENSE", 4096)
    monkeypatch.setattr(launch, "CHUNK", BLOCK)
    yield
    so.set_num_threads(None)


@pytest.fixture(scope="session")
def cxx() -> None:
    """For tests that emulate: skipped where no C++ compiler is, which where CI is set is a failure."""
    try:
        hostcompiler.compiler()
    except SymoptError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def emulated(cxx: None) -> Iterator[None]:
    """so.gpu(0) and so.gpu(1) are emulated."""
    with emulated_gpus(2):
        yield


PLACES = [
    *(pytest.param(Emulated(seed, count), id=f"emulated{seed}") for seed, count in ((0, 2), (5, 1), (7, 3))),
    pytest.param(OnGpu(), id="gpu", marks=pytest.mark.gpu),
]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest) -> Where:
    """An emulated device under several orders of threads, and a GPU."""
    place: Where = request.param
    if not place.is_gpu:
        request.getfixturevalue("emulated")
    return place


@pytest.fixture(params=["emulated", pytest.param("cupy", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The place of so.gpu(0)."""
    if request.param == "cupy":
        yield place_of(so.gpu(0))
        return
    with emulated_gpus() as places:
        yield places[0]


@pytest.fixture
def two() -> Iterator[list[Place]]:
    """The places of two emulated GPUs."""
    with emulated_gpus() as places:
        yield places


@pytest.fixture(params=["reference", "auto"])
def engine(request: pytest.FixtureRequest) -> str:
    """How steps on a GPU run: by the interpreter on copies, or as CUDA text."""
    if request.param == "auto":
        request.getfixturevalue("cxx")
    return str(request.param)


@pytest.fixture
def ray_transport() -> Iterator[OnRay]:
    """Processes of Ray, which are gone after the test; skipped where there is no Ray."""
    pytest.importorskip("ray")
    transport = rays.instance()
    before = list(transport.hosts)
    yield transport
    for host in [host for host in transport.hosts if host not in before]:
        transport.stop(host)


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """How many faults a test tries. What it prints is shown when it fails."""
    option = request.config.getoption
    seed = option("--fault-seed")
    print(f"--fault-seed={seed}")
    return Faults(option("--all-faults"), random.Random(f"{seed} {request.node.name}"))


@pytest.fixture
def all_faults(request: pytest.FixtureRequest) -> None:
    """For tests that are too long for every run, and whose like, but smaller, is in each."""
    if not request.config.getoption("--all-faults"):
        pytest.skip("takes a minute or more: `make test-faults` runs it")
