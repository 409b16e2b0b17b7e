"""An output of the executor's own as its next input would be read while it is written."""

import numpy as np
import pytest

from symopt import sym
from symopt.errors import ArrayError


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_an_output_given_back_is_refused(engine: str) -> None:
    w = sym.var("w")
    executor = sym.Group([w * 2, sym.square(w) - sym.sum(w)]).bind(
        args={"w": np.arange(20000, dtype=np.float32)}, engine=engine
    )
    double = executor.forward()[0]
    for value in (double, double[::-1]):
        with pytest.raises(ArrayError, match="output of this executor"):
            executor.forward(w=value)
    executor.forward(w=double.copy())
    assert executor.outputs[0][1] == 4
