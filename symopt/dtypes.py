"""The dtypes symopt stores and the ones it computes in.

16-bit numbers are storage only: they are widened to float32 when read and rounded once when written. Complex numbers
are computed with as two real ones of their component dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import DTypeError

FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPONENT = {"complex64": "float32", "complex128": "float64"}
COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}
COMPLEX = tuple(COMPONENT)
DTYPES = (*FLOATS, *COMPLEX)  # that an array may have
COMPUTE = {d: d for d in DTYPES} | {"float16": "float32", "bfloat16": "float32"}
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}

NARROW = ("float16", "bfloat16")

# MXNet's numbers for dtypes, as its JSON stores them in `__dtype__`. It has none for complex ones: those go by name.
MXNET_CODES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 12}
MXNET_NAMES = {code: name for name, code in MXNET_CODES.items()}


def component(dtype: str) -> str:
    """The dtype of the parts of a complex number; of a real one, its own."""
    return COMPONENT.get(dtype, dtype)


def to_numpy(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name; bfloat16 comes from ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(name)


def canonical(dtype: Any) -> str:
    """The name of a dtype given as a name, a NumPy dtype or a scalar type; DTypeError if it is not supported."""
    try:
        name = dtype if isinstance(dtype, str) and dtype in DTYPES else np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise DTypeError(f"dtype {name} is not supported: use one of {', '.join(DTYPES)}")
    return name
