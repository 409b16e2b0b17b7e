"""Settings that come from the environment or from `so.set_*`: the only module that reads os.environ."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_num_threads: int | None = None


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def num_threads() -> int:
    """Threads a large step is shared out over: `set_num_threads`, else SYMOPT_NUM_THREADS, else the cores."""
    if _num_threads is not None:
        return _num_threads
    given = os.environ.get("SYMOPT_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else cores()


def set_num_threads(count: int | None) -> None:
    """Use `count` threads from now on; None returns to the default. Results do not depend on it, bit for bit."""
    global _num_threads
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise ValueError(f"set_num_threads takes a positive integer or None, got {count!r}")
    _num_threads = count


def threads_set() -> int | None:
    """What set_num_threads was given last; None is the default."""
    return _num_threads


def cache_dir() -> Path:
    """Where compiled code is kept between processes: SYMOPT_CACHE_DIR, else "symopt" in the user's cache directory."""
    from pathlib import Path  # slow to import, and `import symopt` needs none

    given = os.environ.get("SYMOPT_CACHE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "symopt"


def cxx() -> str | None:
    """The C++ compiler that the user asks for: CXX, as build tools read it."""
    return os.environ.get("CXX") or None


def no_color() -> bool:
    """Whether the user wants text without colours everywhere (NO_COLOR, https://no-color.org), or has a terminal that
    shows none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


@contextlib.contextmanager
def environment(**given: str) -> Iterator[None]:
    """Environment variables for processes that are started in here."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def given_environment(prefix: str) -> dict[str, str]:
    """The environment variables that begin so."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}
