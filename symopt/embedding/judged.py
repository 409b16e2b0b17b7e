"""What an admission filter thinks of a batch, before it counts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Judged(NamedTuple):
    """Which entries (n,) are admitted. Nothing has changed yet: `commit()`, once, counts the batch."""

    admitted: npt.NDArray[np.bool_]
    commit: Callable[[], object]
