"""Recover a complex image from magnitudes alone: Adam on complex weights, whose second moment is abs(g)**2.

A detector measures how bright light is, not its phase. The image is multiplied by random phase masks, and only the
magnitudes of its Fourier transforms are kept; the gradient of the squared misfit (Wirtinger's, written by hand) leads
back to the image, up to one phase that no measurement can tell. With g * g as second moment, which is what rules made
for real numbers do to complex ones, the step turns with the phase of the gradient, and diverges.

    python examples/phase_retrieval.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import symopt as so
from symopt import sym

SIZE, MASKS, STEPS, LR = 128, 8, 300, 0.03
Array = np.ndarray


def image() -> Array:
    """A (128, 128) complex image: 256 of scikit-learn's digits for the magnitudes, 256 others for the phases."""
    digits = load_digits().images[:512].reshape(2, 16, 16, 8, 8) / 16
    bright, phase = digits.transpose(0, 1, 3, 2, 4).reshape(2, SIZE, SIZE)
    return (0.2 + 0.8 * bright) * np.exp(1j * np.pi * phase)


def gradient(x: Array, masks: Array, measured: Array) -> tuple[Array, float]:
    """Of the mean squared misfit of magnitudes, with respect to the conjugate of x; and that misfit."""
    light = np.fft.fft2(masks * x, norm="ortho")
    size = np.abs(light)
    misfit = light - measured * light / np.maximum(size, 1e-12)
    back = masks.conj() * np.fft.ifft2(misfit, norm="ortho")
    return back.mean(0), float(np.mean((size - measured) ** 2))


def error(x: Array, truth: Array) -> float:
    """Relative distance of x from the image, turned by the one phase that brings it closest."""
    turn = np.vdot(x, truth)
    return float(np.linalg.norm(x * turn / abs(turn) - truth) / np.linalg.norm(truth))


def with_symopt(x: Array, masks: Array, measured: Array, truth: Array) -> float:
    """The error after Adam, one bound step on complex128 weights; its state `var` is float64."""
    weight = sym.var("x")
    step = sym.adam_update(weight, sym.var("g"), sym.var("m"), sym.var("v"), lr=LR, out=weight, name="adam")
    executor = step.simple_bind(so.cpu(), x=x.shape, type_dict={"x": x.dtype})
    states = {name: array.dtype.name for name, array in executor.aux_dict.items()}
    print(f"states that follow from complex128 weights: {states}\n")
    executor.copy_params_from({"x": x})
    found = executor.arg_dict["x"]
    for t in range(1, STEPS + 1):
        grad, misfit = gradient(found, masks, measured)
        executor.forward(g=grad)
        if t % 50 == 0:
            print(f"step {t:3}  misfit before it {misfit:.1e}  relative error {error(found, truth):.1e}")
    return error(found, truth)


def with_squares(x: Array, masks: Array, measured: Array, truth: Array) -> float:
    """The error after the same steps in NumPy lines made for real numbers: g * g is complex here."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for _ in range(STEPS):
        g, _misfit = gradient(x, masks, measured)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g * g)
        x = x - LR * m / (np.sqrt(v) + 1e-8)
    return error(x, truth)


def main() -> tuple[float, float]:
    """The errors with abs(g)**2 and with g * g."""
    rng = np.random.default_rng(0)
    truth = image()
    masks = np.exp(2j * np.pi * rng.random((MASKS, SIZE, SIZE)))
    measured = np.abs(np.fft.fft2(masks * truth, norm="ortho"))
    brightness = np.sqrt(np.mean(measured**2))
    start = np.full((SIZE, SIZE), brightness, np.complex128)

    print(
        f"symopt {so.__version__}: {SIZE} x {SIZE} complex pixels, {MASKS} masks, a flat start, {STEPS} steps of Adam"
    )
    right = with_symopt(start, masks, measured, truth)
    wrong = with_squares(start, masks, measured, truth)
    print(f"\nrelative error   adam_update, abs(g)**2: {right:.1e}   NumPy lines with g * g: {wrong:.1e}")
    return right, wrong


if __name__ == "__main__":
    main()
