"""Functions by name: what one process tells another instead of code."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from importlib import import_module
from typing import Any

from ..errors import AttributeValueError


def name_of(function: Callable[..., Any], what: str) -> str:
    """ "module:name" of a function or class that others can import. AttributeValueError if they can't: a lambda, a
    function within another, or one of the script that was started.

    >>> import math
    >>> name_of(math.sqrt, "an initializer")
    'math:sqrt'
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    found = f"{module}:{name}"
    try:
        is_there = module not in (None, "__main__") and named(found, what) is function
    except AttributeValueError:
        is_there = False
    if not is_there:
        raise AttributeValueError(
            f"{what} is {function!r}, which other processes can't import: code is not sent to them. Put the function "
            "into a module of its own, at its top level"
        )
    return found


def named(name: str, what: str) -> Any:
    """What is called "module:name". AttributeValueError if there is no such thing here."""
    module, _, path = name.partition(":")
    try:
        return reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError) as error:
        raise AttributeValueError(f"{what}: {name!r} can't be imported here: {error}") from None
