"""Your own update rule: one short function, and it runs dense, on some rows only, at once, and inside a graph.

python examples/my_rule.py
"""

from __future__ import annotations

import numpy as np

import symopt as so
from symopt import sym
from symopt.lang import State, Tensor, Updated, sign, updated


@so.update_op
def lion_update(
    weight: Tensor,
    grad: Tensor,
    mean: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    wd: float = 0.0,
    rescale_grad: float = 1.0,
) -> Updated:
    """Lion [Chen et al. 2023, arXiv:2302.06675]: the sign of a mean of gradients, with decoupled decay."""
    g = rescale_grad * grad
    step = sign(beta1 * mean + (1 - beta1) * g) + wd * weight
    return updated(weight - lr * step, mean=beta2 * mean + (1 - beta2) * g)


def numpy_lion(
    w: np.ndarray, g: np.ndarray, m: np.ndarray, lr: float, wd: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same in NumPy, for comparison."""
    return w - lr * (np.sign(0.9 * m + 0.1 * g) + wd * w), 0.99 * m + 0.01 * g


def main() -> None:
    rng = np.random.default_rng(0)
    weight, grad, mean = (rng.standard_normal((1000, 16)) for _ in range(3))
    expected, expected_mean = numpy_lion(weight, grad, mean, lr=0.1, wd=0.01)

    # In a graph, bound to arrays that are updated in place.
    w = sym.var("w")
    step = sym.lion_update(w, sym.var("g"), sym.var("m"), lr=0.1, wd=0.01, out=w, name="layer")
    arrays = {"w": weight.copy(), "g": grad, "m": mean.copy()}
    executor = step.bind(so.cpu(), args=arrays, aux_states=arrays)
    executor.forward()
    np.testing.assert_allclose(arrays["w"], expected, rtol=1e-12)
    np.testing.assert_allclose(arrays["m"], expected_mean, rtol=1e-12)
    print("dense, in a graph: equal to NumPy\n")
    print(executor.source(), "\n")

    # At once, with a gradient that has three rows: only those are read and written.
    some = so.sparse.row_sparse_array((grad[[7, 3, 500]], [7, 3, 500]), shape=weight.shape)
    new, state = weight.copy(), mean.copy()
    so.nd.lion_update(new, some, state, lr=0.1, wd=0.01, out=new)
    touched = np.zeros(len(weight), bool)
    touched[[3, 7, 500]] = True
    np.testing.assert_allclose(new[touched], expected[touched], rtol=1e-12)
    assert (new[~touched] == weight[~touched]).all() and (state[~touched] == mean[~touched]).all()
    print("lazy, three rows: those equal NumPy's, the others are untouched")

    # In float16: computed in float32, rounded once.
    half = [x.astype(np.float16) for x in (weight, grad, mean)]
    so.nd.lion_update(*half, lr=0.1, wd=0.01, out=half[0])
    np.testing.assert_allclose(half[0], expected, rtol=2e-3, atol=2e-3)
    print("float16: equal to NumPy within a rounding")


if __name__ == "__main__":
    main()
