"""Keras's optimizers made of update ops, as somebody without classes writes them: for test_golden_keras.py.

One step is one graph: loss scaling, accumulation, clipping, weight decay, the update, the average. Schedules, step
counts and the running product of Nadam are numbers made here, in float64.
"""

from typing import Any

import numpy as np
from keras_rules import Rule, momentum_product, rule
from keras_schedules import rate

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray


def clip(xp: Any, grads: dict[int, Any], config: dict[str, Any]) -> dict[int, Any]:
    """Keras's three clips, by value first; xp is sym, or numpy for the stored rows of sparse gradients."""

    def norm(*xs: Any) -> Any:
        return xp.sqrt(sum(xp.sum(xp.square(x)) for x in xs))

    if (bound := config.get("clipvalue")) is not None:
        grads = {k: xp.clip(g, a_min=-bound, a_max=bound) for k, g in grads.items()}
    if (bound := config.get("clipnorm")) is not None:
        grads = {k: g * (bound / xp.maximum(norm(g), bound)) for k, g in grads.items()}
    if (bound := config.get("global_clipnorm")) is not None:
        factor = bound * xp.minimum(1 / norm(*grads.values()), 1 / bound)
        grads = {k: g * factor for k, g in grads.items()}
    return grads


def clip_slices(grads: dict[int, Any], config: dict[str, Any]) -> dict[int, Any]:
    """Sparse gradients clipped as Keras does it: before rows that occur twice are summed."""
    clipped = clip(np, {k: g.data for k, g in grads.items()}, config)
    return {k: RowSparseArray(clipped[k], g.indices, g.shape) for k, g in grads.items()}


class Driver:
    """The variables of one optimizer, its arrays and its counters."""

    def __init__(self, case: dict[str, Any], weights: list[np.ndarray], engine: str) -> None:
        self.engine, self.api = engine, case["api"]
        self.name, self.config = case["class"], dict(case["config"])
        self.scaling: dict[str, float] = {}
        if self.name == "LossScaleOptimizer":
            self.scaling = {"dynamic_scale": self.config["initial_scale"], "step_counter": 0}
            self.growth = self.config["dynamic_growth_steps"]
            inner = self.config["inner_optimizer"]
            self.name, self.config = inner["class_name"], dict(inner["config"])
        self.labels = case.get("var_names", [""] * len(weights))
        self.not_decayed = case.get("exclude_from_weight_decay", [])
        self.count = 0  # calls so far that did not meet a gradient that is not finite
        self.u_product = 1.0
        self.variables: dict[str, Any] = {}
        self.arrays: dict[str, Any] = {}
        for k, weight in enumerate(weights):
            self.arrays |= {f"{n}{k}": np.zeros_like(weight) for n in ("average", "gradient_accumulator")}
            self.arrays[f"w{k}"] = weight.copy()
            self.arrays |= self.initial_states(k, weight)

    def initial_states(self, k: int, weight: np.ndarray) -> dict[str, np.ndarray]:
        rule = self.rule(k)
        required = {n: 1 for n in ("step", "u_product") if n in rule.op.attrs}
        node = getattr(sym, rule.op.name)(sym.var("w"), sym.var("g"), **required)
        shapes = node.infer_shape(w=weight.shape, g=weight.shape)[2]
        return {
            f"{n}{k}": np.full(shape, rule.initial.get(n, 0.0), weight.dtype)
            for n, shape in zip(rule.op.states, shapes, strict=True)
        }

    def rule(self, k: int) -> Rule:
        return rule(self.api, self.name, self.config, self.arrays[f"w{k}"].ndim, self.labels[k])

    def value(self, k: int, slot: str) -> np.ndarray:
        """What Keras calls `slot` of variable k; w is the variable itself."""
        return np.asarray(self.arrays[f"{self.rule(k).slots.get(slot, slot)}{k}"])

    def shared(self) -> dict[str, float]:
        """The slots that belong to no variable."""
        return {"momentum_cache": self.u_product, "u_product": self.u_product, **self.scaling}

    def variable(self, name: str, **shape: Any) -> Any:
        """The one variable of that name."""
        return self.variables.setdefault(name, sym.var(name, **shape))

    def number(self, name: str) -> Any:
        """The one variable of that name, a number of the host."""
        return self.variable(name, shape=())

    def learning_rate(self) -> float:
        lr = self.config.get("lr", self.config.get("learning_rate", 0.01 if self.name == "SGD" else 0.001))
        lr = float(np.float32(rate(lr, self.count) if isinstance(lr, dict) else lr))
        return lr / (1 + self.config.get("decay", 0.0) * self.count) if self.api == "legacy" else lr

    @property
    def every(self) -> int:
        """How many calls make an update."""
        return int(self.config.get("gradient_accumulation_steps") or 1)

    def step(self, grads: list[Any]) -> None:
        """One call of apply_gradients; None is the gradient of a variable that has none."""
        given = {k: g for k, g in enumerate(grads) if g is not None}
        is_sparse = any(isinstance(g, RowSparseArray) for g in given.values())
        given = clip_slices(given, self.config) if is_sparse else given
        outputs = self.outputs(list(given), {} if is_sparse else self.config)
        step = self.count // self.every + 1
        if self.name == "Nadam":
            beta1, decay = self.rule(0).attrs.get("beta1", 0.9), self.config.get("schedule_decay", 0.004)
            self.u_product = momentum_product(self.api, beta1, decay, step)
        numbers = {"lr": self.learning_rate(), "step": step, "u_product": self.u_product, **self.scaling}
        bound = self.arrays | numbers | {f"g{k}": g for k, g in given.items()}
        executor = sym.Group(outputs).bind(so.cpu(), args=bound, aux_states=bound, engine=self.engine)
        first = executor.forward()[0]
        if not self.scaling or self.rescale(bool(first[0])):
            self.count += 1

    def outputs(self, live: list[int], clips: dict[str, Any]) -> list[Any]:
        """Everything a step computes; with loss scaling, whether the gradient was finite comes first."""
        grads = {k: self.variable(f"g{k}") for k in live}
        weights = {k: self.variable(f"w{k}") for k in live}
        outputs: list[Any] = [sym.all_finite(grads[0])] if self.scaling else []
        scale = self.number("dynamic_scale") if self.scaling else self.config.get("loss_scale_factor")
        if scale is not None:
            grads = {k: g / scale for k, g in grads.items()}
        is_update = (self.count + 1) % self.every == 0
        if self.every > 1:
            grads = {k: g + self.variable(f"gradient_accumulator{k}") for k, g in grads.items()}
            for k, g in grads.items():
                total = self.variable(f"gradient_accumulator{k}")
                outputs.append(sym.zeros_like(g, out=total) if is_update else sym.identity(g, out=total))
            grads = {k: g / self.every for k, g in grads.items()}
        if is_update:
            weights = {k: self.updated(k, g) for k, g in clip(sym, grads, clips).items()}
        if self.scaling:
            weights = {k: self.if_finite(outputs, k, node) for k, node in weights.items()}
        return outputs + [x for k, weight in weights.items() for x in self.stored(k, weight)]

    def updated(self, k: int, grad: Any) -> Any:
        """The update of variable k, its weight decayed first."""
        op, _, _, attrs, decay, lr_factor = self.rule(k)
        weight, lr = self.variable(f"w{k}"), self.number("lr")
        if decay is None or any(word in self.labels[k] for word in self.not_decayed):
            decay = 0.0
        if "wd" in op.attrs:
            attrs["wd"] = decay
        elif decay:
            weight = weight - weight * (lr * decay)
        attrs |= {n: self.number(n) for n in ("step", "u_product") if n in op.attrs}
        states = [self.variable(f"{n}{k}") for n in op.states]
        return getattr(sym, op.name)(weight, grad, *states, **attrs | {"lr": lr * lr_factor})

    def if_finite(self, outputs: list[Any], k: int, node: Any) -> Any:
        """The new weight, and among the outputs the new states, if the gradient is finite; else the old ones."""
        for name in self.rule(k).op.states:
            old = self.variable(f"{name}{k}")
            outputs.append(sym.where(outputs[0], node.state(name), old, out=old))
        return sym.where(outputs[0], node, self.variable(f"w{k}"))

    def stored(self, k: int, weight: Any) -> list[Any]:
        """The weight written back, and its moving average, which may take its place."""
        outputs = []
        if self.config.get("use_ema"):
            done, average = self.count // self.every, self.variable(f"average{k}")
            momentum = self.config.get("ema_momentum", 0.99) if done else 0.0
            new = momentum * average + (1 - momentum) * weight
            outputs.append(sym.identity(new, out=average))
            frequency = self.config.get("ema_overwrite_frequency")
            weight = new if frequency and (done + 1) % frequency == 0 else weight
        return [*outputs, sym.identity(weight, out=self.variable(f"w{k}"))]

    def rescale(self, finite: bool) -> bool:
        """Halve the loss scale where a gradient was not finite, double it after enough steps where all were."""
        scale, counter = self.scaling["dynamic_scale"], self.scaling["step_counter"] + 1
        if not finite:
            scale, counter = scale / 2, 0
        elif counter == self.growth:
            scale, counter = scale * 2, 0
        self.scaling = {"dynamic_scale": scale, "step_counter": counter}
        return finite
