"""The errors for files that do not hold what they should."""

from __future__ import annotations

from typing import NoReturn

from ..errors import DamagedError, FormatError


class Refuse:
    """Raises the error about one file or folder, naming it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, reason: str) -> NoReturn:
        """It is not what was written."""
        raise DamagedError(f"{self.path}: {reason}") from None

    def unknown(self, reason: str) -> NoReturn:
        """It may be whole, but of another system or a newer version."""
        raise FormatError(f"{self.path}: {reason}") from None
