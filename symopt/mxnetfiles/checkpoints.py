"""Checkpoints as MXNet's Module writes them: `prefix-symbol.json`, and `prefix-0003.params` for epoch 3."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import FormatError
from ..files import write_whole
from ..serial import load as load_symbol
from ..serial import tojson
from ..symbol import Symbol
from .params import Arrays, load, save

KINDS = ("arg", "aux")


def load_checkpoint(prefix: str | os.PathLike[str], epoch: int) -> tuple[Symbol, Arrays, Arrays]:
    """The Symbol, the arguments and the auxiliary states of a checkpoint, arrays by name.

    A network's file has ops that symopt lacks: UnknownOpError then, and `load_params` reads the arrays alone.
    FormatError, also for arrays that are not called "arg:..." or "aux:...".
    """
    return load_symbol(f"{os.fspath(prefix)}-symbol.json"), *load_params(prefix, epoch)


def load_params(prefix: str | os.PathLike[str], epoch: int) -> tuple[Arrays, Arrays]:
    """The arguments and the auxiliary states of a checkpoint, arrays by name."""
    path = _path(prefix, epoch)
    found = load(path)
    sorted_out: dict[str, Arrays] = {kind: {} for kind in KINDS}
    if isinstance(found, list) and found:
        raise FormatError(f"{path}: its arrays have no names: so.nd.load reads them")
    for key, array in dict(found).items():
        kind, colon, name = key.partition(":")
        if not colon or kind not in KINDS:
            raise FormatError(f"{path}: an array is called {key[:100]!r}, which does not begin with 'arg:' or 'aux:': "
                              "so.nd.load reads it")  # fmt: skip
        sorted_out[kind][name] = array
    return sorted_out["arg"], sorted_out["aux"]


def save_checkpoint(
    prefix: str | os.PathLike[str],
    epoch: int,
    symbol: Symbol | None,
    arg_params: Mapping[str, Any],
    aux_params: Mapping[str, Any],
) -> None:
    """Write a checkpoint that `mx.model.load_checkpoint` reads: the arrays, then the Symbol if it is not None.

    Each file appears whole. Errors are those of `save`; then nothing is written.
    """
    text = None if symbol is None else tojson(symbol)
    named = {f"arg:{name}": x for name, x in arg_params.items()}
    named |= {f"aux:{name}": x for name, x in aux_params.items()}
    save(_path(prefix, epoch), named)
    if text is not None:
        write_whole(f"{os.fspath(prefix)}-symbol.json", text.encode())


def _path(prefix: str | os.PathLike[str], epoch: int) -> str:
    return f"{os.fspath(prefix)}-{epoch:04d}.params"
