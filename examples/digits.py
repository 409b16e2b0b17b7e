"""Train a network on scikit-learn's digits with one bound graph: clip by global norm, Adam, averaged weights.

The gradients are written by hand in NumPy; everything after them is one symopt step. The same update in plain NumPy
runs beside it on copies, for the time it takes and to check that both agree.

    python examples/digits.py
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import symopt as so
from symopt import sym

EPOCHS, BATCH, HIDDEN = 40, 32, 128
LR, BETA1, BETA2, EPSILON = 2e-3, 0.9, 0.999, 1e-8
MAX_NORM, DECAY = 1.0, 0.99
Arrays = dict[str, np.ndarray]


def build_step() -> so.Symbol:
    """The update of all four tensors as one graph. `lr` is a number given at each step; `t` counts the steps."""
    names = ["w1", "b1", "w2", "b2"]
    grads = [sym.var(f"{name}_grad") for name in names]
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads)))
    scale = sym.minimum(MAX_NORM / (norm + 1e-6), 1.0)

    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    lr = sym.var("lr", shape=()) * sym.sqrt(1 - BETA2**t) / (1 - BETA1**t)

    heads = [t, norm]
    for name, grad in zip(names, grads):
        weight, average = sym.var(name), sym.var(f"{name}_average")
        update = sym.adam_update(weight, grad, lr=lr, rescale_grad=scale, out=weight, name=name)
        heads += [update, sym.elemwise_add(DECAY * average, (1 - DECAY) * update, out=average)]
    return sym.Group(heads)


def gradients(p: Arrays, x: np.ndarray, y: np.ndarray, out: Arrays) -> float:
    """Mean cross entropy of a 64-128-10 network; its gradients, by hand, into the arrays of `out`."""
    hidden = np.maximum(x @ p["w1"] + p["b1"], 0)
    logits = hidden @ p["w2"] + p["b2"]
    logits -= logits.max(axis=1, keepdims=True)
    probability = np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = -float(np.log(probability[rows, y]).mean())
    delta = probability
    delta[rows, y] -= 1
    delta /= len(y)
    back = (delta @ p["w2"].T) * (hidden > 0)
    np.matmul(x.T, back, out=out["w1"])
    np.sum(back, axis=0, out=out["b1"])
    np.matmul(hidden.T, delta, out=out["w2"])
    np.sum(delta, axis=0, out=out["b2"])
    return loss


class PlainNumPy:
    """The same update as most projects copy it."""

    def __init__(self, p: Arrays) -> None:
        self.p = {k: v.copy() for k, v in p.items()}
        self.average = {k: v.copy() for k, v in p.items()}
        self.mean = {k: np.zeros_like(v) for k, v in p.items()}
        self.var = {k: np.zeros_like(v) for k, v in p.items()}
        self.t = 0

    def step(self, grads: Arrays, lr: float) -> None:
        self.t += 1
        norm = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        scale = min(MAX_NORM / (norm + 1e-6), 1.0)
        rate = lr * math.sqrt(1 - BETA2**self.t) / (1 - BETA1**self.t)
        for k, g in grads.items():
            g = g * np.float32(scale)
            self.mean[k] = BETA1 * self.mean[k] + (1 - BETA1) * g
            self.var[k] = BETA2 * self.var[k] + (1 - BETA2) * g * g
            self.p[k] -= rate * self.mean[k] / (np.sqrt(self.var[k]) + EPSILON)
            self.average[k] = DECAY * self.average[k] + (1 - DECAY) * self.p[k]


def accuracy(p: Arrays, x: np.ndarray, y: np.ndarray) -> float:
    return float(((np.maximum(x @ p["w1"] + p["b1"], 0) @ p["w2"] + p["b2"]).argmax(1) == y).mean())


def main() -> float:
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(x, digits.target, stratify=digits.target, random_state=0)

    rng = np.random.default_rng(0)
    p: Arrays = {
        "w1": (rng.standard_normal((64, HIDDEN)) * math.sqrt(2 / 64)).astype(np.float32),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": (rng.standard_normal((HIDDEN, 10)) * math.sqrt(2 / HIDDEN)).astype(np.float32),
        "b2": np.zeros(10, np.float32),
    }
    average = {k: v.copy() for k, v in p.items()}
    plain = PlainNumPy(p)

    grads = {k: np.zeros_like(v) for k, v in p.items()}
    args: dict[str, Any] = {**p, "t": 0, "lr": LR}
    for name in p:
        args[f"{name}_grad"], args[f"{name}_average"] = grads[name], average[name]
    states = {f"{k}_{s}": np.zeros_like(v) for k, v in p.items() for s in ("mean", "var")}
    step = build_step()
    executor = step.bind(so.cpu(), args=args, aux_states=states)

    print(f"symopt {so.__version__}: 64-{HIDDEN}-10 network on {len(x)} digits")
    print(f"\nthe graph:\n{step.tree()}\n\nwhat it computes:\n{executor.formula()}\n")
    seconds = {"symopt": 0.0, "numpy": 0.0}
    for epoch in range(EPOCHS):
        lr = LR * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))
        order, losses = rng.permutation(len(x)), []
        for start in range(0, len(x), BATCH):
            batch = order[start : start + BATCH]
            losses.append(gradients(p, x[batch], y[batch], out=grads))
            begin = time.perf_counter()
            executor.forward(lr=lr)
            middle = time.perf_counter()
            plain.step(grads, lr)
            seconds["symopt"] += middle - begin
            seconds["numpy"] += time.perf_counter() - middle
        if epoch % 5 == 4:
            score = accuracy(average, x_test, y_test)
            print(
                f"epoch {epoch + 1:3}  loss {np.mean(losses):.4f}  test accuracy of averaged weights {score:.4f}"
            )

    apart = float(np.max([np.abs(average[k] - plain.average[k]).max() for k in p]))
    assert apart < 1e-5, f"symopt and NumPy differ by {apart}"
    score = accuracy(average, x_test, y_test)
    other = LogisticRegression(max_iter=5000).fit(x, y).score(x_test, y_test)
    print(f"\n{executor.summary()}\n")
    print(f"test accuracy   symopt {score:.4f}   scikit-learn LogisticRegression {other:.4f}")
    steps = int(executor.arg_dict["t"])
    print(
        f"time in {steps} updates   symopt {seconds['symopt']:.3f} s   plain NumPy {seconds['numpy']:.3f} s   "
        f"({seconds['numpy'] / seconds['symopt']:.1f} times as long); largest difference of a weight {apart:.1e}"
    )
    return score


if __name__ == "__main__":
    main()
