"""Checkpoints one after the other in one folder: the last few steps of a run."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

from ..errors import AttributeValueError, DamagedError
from .disk import DISK, Disk, lock
from .reader import read_info
from .staging import discard, staged_folder, sweep
from .writer import SHARD_BYTES, store

_STEP = re.compile(r"step-(\d{9,18})")
_LEFT = re.compile(r"\.(step-\d{9,18})\.[0-9a-f]{8}\.(?:tmp|old)")
_LOCK = ".lock"


class Series:
    """The checkpoints of a run, step-000000123 and so on, in the folder `root`, which is made if it is not there.

    The newest `keep` are kept. One process saves at a time; any number may load meanwhile.

    >>> import tempfile, numpy as np
    >>> series = Series(tempfile.mkdtemp(), keep=2)
    >>> for step in (10, 20, 30):
    ...     series.save(step, {"w": np.full(3, step)})
    >>> series.steps(), series.load()["w"]
    ([20, 30], array([30, 30, 30]))
    """

    def __init__(self, root: str | os.PathLike[str], keep: int = 2, *, disk: Disk = DISK) -> None:
        if keep < 1:
            raise AttributeValueError(f"keep must be at least 1, got {keep}")
        self.root = os.path.realpath(root)
        self.keep = keep
        self._disk = disk

    def path(self, step: int) -> str:
        """Where the checkpoint of a step is, or would be."""
        if step < 0:
            raise AttributeValueError(f"step must be at least 0, got {step}")
        return os.path.join(self.root, f"step-{step:09d}")

    def steps(self) -> list[int]:
        """The steps that are there, ascending. They are not looked into."""
        with contextlib.suppress(FileNotFoundError):
            found = filter(None, map(_STEP.fullmatch, os.listdir(self.root)))
            return sorted(int(match[1]) for match in found)
        return []

    def save(self, step: int, obj: Any, **options: Any) -> None:
        """Save as `so.save` does, with its options; when it is durable, delete older steps than the newest `keep`.

        Steps above this one are left. BlockingIOError while another process, or thread, saves to this series;
        FileExistsError for a step that is there, unless overwrite=True.
        """
        with self._saving(step) as path:
            store(path, obj, **{"shard_bytes": SHARD_BYTES, **options}, disk=self._disk)

    @contextlib.contextmanager
    def staged(self, step: int) -> Iterator[str]:
        """A folder to fill, for checkpoints that several processes write: when the block ends it is the step, whole
        and durable, if its files and folders are. If it raises, there is nothing new."""
        with self._saving(step) as path, staged_folder(self._disk, path, overwrite=False) as fresh:
            yield fresh

    @contextlib.contextmanager
    def _saving(self, step: int) -> Iterator[str]:
        path = self.path(step)
        self._make_root()
        with self._locked():
            self._sweep()
            yield path
            older = [other for other in self.steps() if other <= step]
            for other in older[: -self.keep]:
                discard(self._disk, self.path(other))

    def latest(self, strict: bool = False) -> int | None:
        """The newest step whose manifest, headers and sizes are right; None if there is no step.

        A damaged one is passed over with a warning that names it; with `strict`, or if all are, DamagedError.
        """
        for step, _ in self._newest(strict, read_info):
            return step
        return None

    def load(
        self, step: int | None = None, into: Any = None, *, fall_back: bool = True, **options: Any
    ) -> Any:
        """Load a step as `so.load` does, with its options: the newest, unless one is given.

        If the newest is damaged in any byte, a warning says so and the one before it is loaded; fall_back=False, or
        no other: DamagedError. FileNotFoundError if there is no step.
        """
        from . import load

        def read(path: str) -> Any:
            return load(path, into, **options)

        if step is not None:
            return read(self.path(step))
        for _, tree in self._newest(not fall_back, read):
            return tree
        raise FileNotFoundError(errno.ENOENT, "no step is there", self.root)

    def _newest(self, strict: bool, read: Any) -> Iterator[tuple[int, Any]]:
        """Steps with what `read` makes of them, the newest first; damaged ones are passed over."""
        steps = self.steps()
        while steps:
            step = steps.pop()
            try:
                found = read(self.path(step))
            except DamagedError as error:
                if strict or not steps:
                    raise
                warnings.warn(f"{error}; falling back to step {steps[-1]}", RuntimeWarning, stacklevel=3)
                continue
            except FileNotFoundError:  # deleted since, so a newer one is there
                newer = [other for other in self.steps() if other > step]
                steps = newer or steps
                continue
            yield step, found

    def _make_root(self) -> None:
        missing, folder = [], self.root
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                self._disk.make_folder(folder)
            self._disk.sync_folder(os.path.dirname(folder))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        file = lock(os.path.join(self.root, _LOCK), os.O_RDWR | os.O_CREAT)
        if file is None:
            raise BlockingIOError(errno.EAGAIN, "another process or thread saves to this series", self.root)
        try:
            yield
        finally:
            os.close(file)

    def _sweep(self) -> None:
        """Delete what saves of any step left that were killed."""
        for name in {match[1] for match in map(_LEFT.fullmatch, os.listdir(self.root)) if match}:
            sweep(self._disk, os.path.join(self.root, name))
