"""What symopt needs and what it can use, each tried out.

A trial returns what is there, in words and as facts. DependencyError or DeviceError: it is not there, and the message
says what to install; any other error: what is there does not work. That may end the process, so `doctor` runs each in
one of its own.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

from ..errors import DependencyError, DeviceError, SymoptError

WORKS, MISSING, BROKEN = "works", "missing", "broken"
SIMD = (
    "avx512f",
    "avx2",
    "avx",
    "sse4.2",
    "sve2",
    "sve",
    "neon",
    "vsx",
)  # of a processor's features, those shown


class Result(NamedTuple):
    """What a trial found: WORKS, MISSING or BROKEN; in words; as facts by name."""

    name: str
    state: str
    detail: str
    facts: Mapping[str, Any] = {}


def python_() -> tuple[str, dict[str, Any]]:
    return f"{platform.python_version()}, {platform.platform()}", {"executable": sys.executable}


def numpy_() -> tuple[str, dict[str, Any]]:
    import symopt

    return f"{metadata.version('numpy')}, with symopt {symopt.__version__}", {"symopt": symopt.__version__}


def reference() -> tuple[str, dict[str, Any]]:
    """One step of gradient descent, known beforehand."""
    import numpy as np

    from .. import sym

    step = sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.5)
    found = step.bind(args={"w": np.ones(3), "g": np.ones(3)}, engine="reference").forward()[0]
    _check(found.tolist() == [0.5] * 3, f"1 - 0.5 * 1 comes out as {found[0]}")
    return "NumPy, slow and obvious", {}


def native() -> tuple[str, dict[str, Any]]:
    from .. import config

    _llvmlite()
    import llvmlite.binding as llvm

    _equals_reference("native")
    cpu, triple = llvm.get_host_cpu_name(), llvm.get_default_triple()
    features = sorted(name for name, there in llvm.get_host_cpu_features().items() if there)
    simd = ", ".join(name for name in SIMD if name in features)
    threads = config.num_threads()
    version = ".".join(map(str, llvm.llvm_version_info))
    facts = {"llvm": version, "triple": triple, "cpu": cpu, "features": features, "threads": threads}
    text = f"llvmlite {metadata.version('llvmlite')} with LLVM {version}, {triple}, {cpu} ({simd}), {threads} threads"
    return text, facts


def bfloat16() -> tuple[str, dict[str, Any]]:
    version = _version("ml_dtypes", "pip install ml_dtypes")
    _llvmlite()
    _equals_reference("native", "bfloat16")
    return f"ml_dtypes {version}", {}


def emulator() -> tuple[str, dict[str, Any]]:
    from ..backends.cuda.hostcompiler import compiler

    command = " ".join(compiler())
    _equals_reference("emulator")
    return f"CUDA's text run by the processor, compiled by {command}", {"compiler": command}


def nvrtc() -> tuple[str, dict[str, Any]]:
    from ..backends.cuda import nvrtc as library
    from ..codegen.cuda.text import cuda_text
    from ..planned import plan_graph
    from .samesteps import tried_graph

    version, known = library.nvrtc_version(), library.supported()
    for launch in plan_graph(tried_graph("float32")._outputs, {"w": (8,), "e": (3, 2)}).needed().launches:
        library.compile_cuda(cuda_text(launch.kernel)[0], f"sm_{known[-1]}")
    facts = {"version": list(version), "architectures": list(known)}
    return (
        f"{version[0]}.{version[1]}, for compute capability {_dotted(known[0])} to {_dotted(known[-1])}",
        facts,
    )


def gpu() -> tuple[str, dict[str, Any]]:
    from ..backends.cuda.cupydevice import cupy_device
    from ..cupyarrays import import_cupy

    cupy = import_cupy()
    cupy_device(0)
    _equals_reference("gpu")
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    facts = {
        "cupy": cupy.__version__,
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
        "devices": runtime.getDeviceCount(),
        "name": properties["name"].decode(errors="replace"),
        "capability": cupy.cuda.Device(0).compute_capability,
        "bytes": properties["totalGlobalMem"],
    }
    size = facts["bytes"] / 2**30
    driver = facts["driver_cuda"]
    text = (
        f"{facts['devices']} with CuPy {facts['cupy']}; gpu(0): {facts['name']}, {size:.0f} GiB, compute capability "
        f"{_dotted(int(facts['capability']))}; the driver's CUDA {driver // 1000}.{driver % 1000 // 10}"
    )
    return text, facts


def networkx_() -> tuple[str, dict[str, Any]]:
    from .samesteps import tried_graph

    version = _version("networkx", "pip install networkx")
    graph = tried_graph("float32").to_networkx()
    _check(graph.number_of_nodes() > 5, "a graph came out without its nodes")
    return version, {}


def graphviz() -> tuple[str, dict[str, Any]]:
    import shutil
    import subprocess

    path = shutil.which("dot")
    if path is None:
        raise DependencyError(
            "lays out drawings: install graphviz (apt install graphviz, brew install graphviz)"
        )
    done = subprocess.run(
        [path, "-Tsvg"], input="digraph { a -> b }", capture_output=True, text=True, timeout=60
    )
    _check(
        done.returncode == 0 and "</svg>" in done.stdout, f"dot -Tsvg draws nothing: {done.stderr.strip()}"
    )
    version = subprocess.run([path, "-V"], capture_output=True, text=True).stderr.strip()
    return version.removeprefix("dot - graphviz version ").partition(" ")[0], {"path": path}


def rich() -> tuple[str, dict[str, Any]]:
    version = _version("rich", "for colours on terminals: pip install rich")
    import io

    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream).print("shown", markup=False)
    _check(stream.getvalue() == "shown\n", "it prints something else than it was given")
    return version, {}


def matplotlib() -> tuple[str, dict[str, Any]]:
    version = _version("matplotlib", "for plots: pip install matplotlib")
    import io

    from matplotlib.figure import Figure

    stream = io.BytesIO()
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    figure.savefig(stream, format="png")
    _check(stream.getvalue().startswith(b"\x89PNG"), "it saves something else than a PNG")
    return version, {}


def cache_folder() -> tuple[str, dict[str, Any]]:
    from ..config import cache_dir

    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"symopt")
    except OSError as error:
        raise Broken(f"{folder}: {error.strerror}; compiled code is not kept: set SYMOPT_CACHE_DIR") from None
    return str(folder), {}


class Broken(SymoptError):
    """Something is there and does not do what it should."""


TRIALS: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "Python": python_,
    "NumPy": numpy_,
    "reference engine": reference,
    "native engine": native,
    "bfloat16": bfloat16,
    "emulator engine": emulator,
    "NVRTC": nvrtc,
    "GPU": gpu,
    "networkx": networkx_,
    "graphviz": graphviz,
    "rich": rich,
    "matplotlib": matplotlib,
    "cache folder": cache_folder,
}


def attempt(name: str) -> Result:
    """Try one of TRIALS."""
    try:
        return Result(name, WORKS, *TRIALS[name]())
    except (DependencyError, DeviceError) as error:
        return Result(name, MISSING, str(error))
    except SymoptError as error:
        return Result(name, BROKEN, str(error))


def _equals_reference(engine: str, dtype: str = "float32") -> None:
    from .samesteps import differing

    for name in differing(engine, dtype):
        raise Broken(f"{name} does not come out as on the reference engine")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _version(package: str, install: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise DependencyError(install) from None


def _llvmlite() -> None:
    _version("llvmlite", "steps run on the reference engine only, slowly: pip install llvmlite")


def _dotted(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"


if __name__ == "__main__":
    print(json.dumps(attempt(sys.argv[1])))
