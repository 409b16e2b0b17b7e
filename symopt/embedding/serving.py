"""Tables that are only looked up: ids and codes of their weights, and nothing of what training needs.

`export_rows` writes one, `load_serving` opens it where it lies: nothing is read or built before the first lookup.
"""

from __future__ import annotations

import os

import numpy as np

from ..checkpoint.reader import fetch_with_meta
from ..errors import DamagedError, FormatError, SymoptError
from ..places import HOST
from .coded import Coded
from .exporting import FORMAT, VERSION
from .exporting import export_rows as export_rows
from .frozen import FrozenIndex, is_index
from .held import Held, Mapped
from .servingtable import ServingTable as ServingTable
from .sizes import SizeReport

__all__ = ["ServingTable", "export_rows", "load_serving"]


def load_serving(
    path: str | os.PathLike[str], *, mutable: bool = False, verify: str = "sizes"
) -> ServingTable:
    """The serving table at a path, mapped from its files: opening it takes the same time for any number of rows.

    `mutable`: copy it into memory, where `assign`, `assign_add` and `erase` work; the files stay as they are.
    `verify`: "sizes" checks manifest, headers and shapes; "full" also reads every byte against its checksum.
    FileNotFoundError; DamagedError for what is not as it was written; FormatError for what is no serving table, or one
    of a later version.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp() + "/serving"
    >>> _ = export_rows(folder, [(2, "fp16")], [7, -1], np.array([[0.5, 1], [2, 3]]))
    >>> load_serving(folder).lookup([-1, 8])
    array([[2., 3.],
           [0., 0.]], dtype=float32)
    """
    path = os.fspath(path)
    tree, meta = fetch_with_meta(path, verify=verify, mutable=False, place=HOST, progress=None)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise FormatError(
            f"{path!r} is no serving table; so.load reads other checkpoints, and export writes tables"
        )
    if tree.get("version") != VERSION:
        raise FormatError(
            f"{path!r} is a serving table of version {tree.get('version')!r}; this symopt reads {VERSION}: upgrade it"
        )
    try:
        coded = Coded.from_config(tree["segments"], path)
        index = FrozenIndex(*(np.asarray(tree["index"][part]) for part in FrozenIndex._fields))
        mapped = Mapped(index, np.asarray(tree["codes"]), path)
        sizes = SizeReport.from_dict(meta["sizes"])
        name, skips = str(tree["name"]), bool(tree["skip_zero_embedding"])
    except (KeyError, TypeError, AttributeError, SymoptError) as error:
        raise DamagedError(
            f"{path!r}: an entry of the serving table is missing or malformed: {error}"
        ) from None
    codes = mapped.codes
    if codes.dtype != np.uint8 or codes.shape[1:] != (coded.stride,) or not is_index(index, len(codes)):
        raise DamagedError(f"{path!r}: the arrays of the serving table do not fit its segments")
    return ServingTable(coded, Held(mapped) if mutable else mapped, name, sizes, meta, skips)
