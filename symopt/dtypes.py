"""The dtypes symopt stores and the ones it computes in.

16-bit numbers are storage only: they are widened to float32 when read and rounded once when written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import DTypeError

FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPUTE = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

NARROW = ("float16", "bfloat16")

# MXNet's numbers for dtypes, as its JSON stores them in `__dtype__`.
MXNET_CODES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 12}
MXNET_NAMES = {code: name for name, code in MXNET_CODES.items()}


def to_numpy(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name; bfloat16 comes from ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(name)


def canonical(dtype: Any) -> str:
    """The name of a dtype given as a name, a NumPy dtype or a scalar type; DTypeError if not a supported float."""
    try:
        name = dtype if isinstance(dtype, str) and dtype in FLOATS else np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in FLOATS:
        raise DTypeError(f"dtype {name} is not supported: use one of {', '.join(FLOATS)}")
    return name
