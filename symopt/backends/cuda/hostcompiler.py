"""C++ text to a loaded library, with the user's compiler. Libraries are kept on disk, by what they are made from."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from ... import config
from ...errors import DependencyError, SymoptError

HERE = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-nostartfiles", "-fvisibility=hidden"),
    *("-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing"),
    *("-ffp-contract=off", "-fno-math-errno"),  # every operation rounded once, as on a GPU without -fmad
    *("-Wall", "-Wno-unused", "-Wno-unknown-pragmas", "-Wno-sequence-point"),
    *("-Werror=return-type", "-Werror=uninitialized", "-Werror=shift-count-overflow"),
)
# A call before each access to memory, of functions that emulator.h has: the compiler's own library is not linked.
REPORT_ACCESSES = ("-fsanitize=thread", "-nodefaultlibs", "-DSYMOPT_REPORTS_ACCESSES")
LINES_SHOWN = 30  # of what the compiler says


class CompilationError(SymoptError, RuntimeError):
    """The compiler refuses a text, or its result cannot be kept."""


_compiled: list[Path] = []


def compiled_count() -> int:
    """How many texts this process has given to the compiler."""
    return len(_compiled)


def load(texts: Sequence[str], more_flags: Sequence[str] = ()) -> list[ctypes.CDLL]:
    """A library for each text, compiled in parallel where it is not on disk.

    DependencyError without a compiler, CompilationError with what it says about a text.
    """
    command = (*compiler(), *FLAGS, *more_flags)
    with ThreadPoolExecutor(config.num_threads()) as pool:
        return list(pool.map(lambda text: _library(command, text), texts))


def _library(command: Sequence[str], text: str) -> ctypes.CDLL:
    path = config.cache_dir() / "emulator" / f"{_key(command, text)}.so"
    if not _is_whole(path):
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _compile(command, text, path)
        except OSError as error:
            raise CompilationError(f"cannot write to {path.parent}: {error}; set SYMOPT_CACHE_DIR") from error
    return ctypes.CDLL(str(path))


def _key(command: Sequence[str], text: str) -> str:
    """Everything that the library depends on but the C library, which is linked when it is loaded."""
    parts = (text, _headers(), " ".join(command), _version(command[0]))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _compile(command: Sequence[str], text: str, path: Path) -> None:
    _compiled.append(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / "library.so"
        whole = [*command, f"-I{HERE}", "-x", "c++", "-", "-o", str(made), "-lm", "-lc"]
        done = subprocess.run(whole, input=text.encode(), capture_output=True)
        if done.returncode:
            said = done.stderr.decode(errors="replace").splitlines()[:LINES_SHOWN]
            raise CompilationError("\n  ".join([f"{command[0]} refuses the text:", *said]))
        with made.open("ab") as file:
            file.write(hashlib.sha256(made.read_bytes()).digest())
        os.replace(made, path)


def _is_whole(path: Path) -> bool:
    """Whether the file is there and ends with the hash of the rest: loading half a library would end the process."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def compiler() -> tuple[str, ...]:
    """The command: CXX, else g++, else clang++. DependencyError when it is not there."""
    given = config.cxx()
    for command in [shlex.split(given)] if given else [["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return tuple(command)
    looked = f"CXX={given} is not there" if given else "there is neither g++ nor clang++ here"
    raise DependencyError(
        f"the emulator needs a C++17 compiler, and {looked}: install one, or set CXX to yours"
    )


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout


@cache
def _headers() -> str:
    return "\0".join(path.read_text() for path in sorted(HERE.glob("*.h")))
