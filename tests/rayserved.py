"""Services that processes of tests run."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from symopt import config
from symopt.errors import StateError


class Several(Exception):
    """Can't be pickled: it takes other arguments than it keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


class Service:
    """Does what it is told, and notes what it was told."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        if "refuse" in config:
            raise StateError(config["refuse"])
        self.config, self.noted, self.kept = config, list[int](), list[Any]()

    def echo(self, value: Any) -> Any:
        return value

    def note(self, number: int, *ignored: Any) -> None:
        self.noted.append(number)

    def notes(self) -> list[int]:
        return list(self.noted)

    def slow(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def arrays(self, values: tuple[Any, ...]) -> list[tuple[bool, int, float]]:
        """Of each array: may it be written to, what is its address modulo 64, its sum."""
        return [(a.flags.writeable, a.ctypes.data % 64, float(a.sum())) for a in values]

    def keep(self, array: Any) -> None:
        """Read it later, as shards do with parts of steps that are not complete."""
        self.kept.append(array)

    def sums(self) -> list[float]:
        return [float(array.sum()) for array in self.kept]

    def ones(self, count: int) -> Any:
        return np.ones(count)

    def pair(self) -> tuple[Any, str]:
        return np.arange(3), "two"

    def refuse(self, text: str) -> None:
        raise StateError(text)

    def several(self) -> None:
        raise Several("one", "two")

    def die(self) -> None:
        os.kill(os.getpid(), 9)

    def threads(self) -> int:
        return config.num_threads()
