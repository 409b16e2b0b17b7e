"""What a method raised in another process, as a value: engines would wrap it in classes of their own."""

from __future__ import annotations

import pickle
import platform
import traceback
from os import getpid
from typing import NamedTuple

from ..errors import ClusterError


class Raised(NamedTuple):
    """What a method raised."""

    error: Exception


def sendable(error: Exception) -> Exception:
    """`error` with the lines that led to it as a note; ClusterError with its text if it can't be pickled."""
    lines = "".join(traceback.format_exception(error)).rstrip()
    error.add_note(f"raised in process {getpid()} of {platform.node()}:\n{lines}")
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own __reduce__ raises
        again = None
    return error if type(again) is type(error) else ClusterError(f"{type(error).__qualname__}: {error}")
