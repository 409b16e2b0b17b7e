"""Keras 3's optimizers once more, in NumPy and float64, written from the formulas: what the classes are compared with.

One dict of arrays per variable, one function per class, options around them in Keras's order of a step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Slots = dict[str, np.ndarray]
BASE = float(np.float32(0.96))


def _moments(s: Slots, g: Any, b1: float, b2: float) -> tuple[Any, Any]:
    s["momentum"] = s["momentum"] + (g - s["momentum"]) * (1 - b1)
    s["velocity"] = s["velocity"] + (g * g - s["velocity"]) * (1 - b2)
    return s["momentum"], s["velocity"]


def sgd(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    mu = c["momentum"]
    if mu == 0:
        return w - lr * g
    s["momentum"] = mu * s["momentum"] - lr * g
    return w + (mu * s["momentum"] - lr * g if c["nesterov"] else s["momentum"])


def rmsprop(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    s["velocity"] = c["rho"] * s["velocity"] + (1 - c["rho"]) * g * g
    under = s["velocity"] + c["epsilon"]
    if c["centered"]:
        s["average_gradient"] = c["rho"] * s["average_gradient"] + (1 - c["rho"]) * g
        under = under - s["average_gradient"] ** 2
    step = lr * g / np.sqrt(under)
    if c["momentum"] > 0:
        s["momentum"] = step = c["momentum"] * s["momentum"] + step
    return w - step


def adam(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    m, v = _moments(s, g, c["beta_1"], c["beta_2"])
    if c["amsgrad"]:
        s["velocity_hat"] = v = np.maximum(s["velocity_hat"], v)
    alpha = lr * np.sqrt(1 - c["beta_2"] ** t) / (1 - c["beta_1"] ** t)
    return w - alpha * m / (np.sqrt(v) + c["epsilon"])


def adamax(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    s["momentum"] = s["momentum"] + (g - s["momentum"]) * (1 - c["beta_1"])
    s["norm"] = np.maximum(c["beta_2"] * s["norm"], np.abs(g))
    return w - lr / (1 - c["beta_1"] ** t) * s["momentum"] / (s["norm"] + c["epsilon"])


def nadam(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    b1, b2 = c["beta_1"], c["beta_2"]
    product = np.prod([b1 * (1 - 0.5 * 0.96**k) for k in range(1, t + 1)])
    u, after = b1 * (1 - 0.5 * BASE**t), b1 * (1 - 0.5 * BASE ** (t + 1))
    m, v = _moments(s, g, b1, b2)
    ahead = after * m / (1 - product * after) + (1 - u) * g / (1 - product)
    return w - lr * ahead / (np.sqrt(v / (1 - b2**t)) + c["epsilon"])


def adagrad(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    s["accumulator"] = s["accumulator"] + g * g
    return w - lr * g / np.sqrt(s["accumulator"] + c["epsilon"])


def adadelta(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    rho, eps = c["rho"], c["epsilon"]
    s["accumulated_grad"] = rho * s["accumulated_grad"] + (1 - rho) * g * g
    u = np.sqrt(s["accumulated_delta_var"] + eps) / np.sqrt(s["accumulated_grad"] + eps) * g
    s["accumulated_delta_var"] = rho * s["accumulated_delta_var"] + (1 - rho) * u * u
    return w - lr * u


def adafactor(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    b2, squares = 1 - t ** c["beta_2_decay"], g * g + c["epsilon_1"]
    if w.ndim < 2:
        s["velocity"] = v = b2 * s["velocity"] + (1 - b2) * squares
    else:
        s["row"] = r = b2 * s["row"] + (1 - b2) * squares.mean(-1)
        s["col"] = k = b2 * s["col"] + (1 - b2) * squares.mean(-2)
        v = (r / r.mean(-1, keepdims=True))[..., None] * k[..., None, :]
    u = g / np.sqrt(v)
    alpha = max(c["epsilon_2"], float(np.sqrt(np.mean(w * w)))) * min(lr, t**-0.5)
    return w - alpha * u / max(1.0, float(np.sqrt(np.mean(u * u))) / c["clip_threshold"])


def ftrl(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    p, l1, n = -c["learning_rate_power"], c["l1_regularization_strength"], s["accumulator"]
    new = n + g * g
    shrunk = g + 2 * c["l2_shrinkage_regularization_strength"] * w
    s["linear"] = z = s["linear"] + shrunk - (new**p - n**p) / lr * w
    s["accumulator"] = new
    q = new**p / lr + 2 * (c["l2_regularization_strength"] + c["beta"] / (2 * lr))
    return (np.clip(z, -l1, l1) - z) / q


def lion(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    moved = w - lr * np.sign(c["beta_1"] * s["momentum"] + (1 - c["beta_1"]) * g)
    s["momentum"] = c["beta_2"] * s["momentum"] + (1 - c["beta_2"]) * g
    return moved


def lamb(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    m, v = _moments(s, g, c["beta_1"], c["beta_2"])
    u = m / (1 - c["beta_1"] ** t) / (np.sqrt(v / (1 - c["beta_2"] ** t)) + c["epsilon"])
    of_w, of_u = np.sqrt((w * w).sum()), np.sqrt((u * u).sum())
    return w - (of_w / of_u if of_w > 0 and of_u > 0 else 1.0) * lr * u


def schedule_free(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    b1, b2, z = c["beta_1"], c["beta_2"], s["momentum"]
    if c["warmup_steps"]:
        lr = lr * min(t / c["warmup_steps"], 1)
    s["velocity"] = v = s["velocity"] + (g * g - s["velocity"]) * (1 - b2)
    s["momentum"] = new = z - lr * g / (np.sqrt(v / (1 - b2**t)) + c["epsilon"])
    x = (1 - 1 / t) * (w - (1 - b1) * z) / b1 + new / t
    return (1 - b1) * new + b1 * x


def muon(w: Any, g: Any, s: Slots, lr: float, t: int, c: dict[str, Any]) -> Any:
    if w.ndim != 2:
        own = {
            "beta_1": c["adam_beta_1"],
            "beta_2": c["adam_beta_2"],
            "epsilon": c["epsilon"],
            "amsgrad": False,
        }
        return adam(w, g, s, lr * c["adam_lr_ratio"], t, own)
    s["momentum"] = m = c["momentum"] * s["momentum"] + g
    x = g + c["momentum"] * m if c["nesterov"] else m
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(c["ns_steps"]):
        a = x @ x.T
        x = c["muon_a"] * x + (c["muon_b"] * a + c["muon_c"] * a @ a) @ x
    x = x.T if is_tall else x
    scale = 1.0 if c["rms_rate"] is None else np.sqrt(max(x.shape)) * c["rms_rate"]
    return w - lr * x * scale


RULES: dict[str, Callable[..., Any]] = {
    "SGD": sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adam, "Adamax": adamax, "Nadam": nadam,
    "Adagrad": adagrad, "Adadelta": adadelta, "Adafactor": adafactor, "Ftrl": ftrl, "Lion": lion, "Lamb": lamb,
    "ScheduleFreeAdamW": schedule_free, "Muon": muon,
}  # fmt: skip
ZEROS = ("momentum", "velocity", "velocity_hat", "norm", "average_gradient", "accumulated_grad",
         "accumulated_delta_var", "linear")  # fmt: skip


class Reference:
    """The optimizer `name` with a whole configuration, on copies of weights. `not_decayed`: positions of weights."""

    def __init__(
        self, name: str, config: dict[str, Any], weights: list[Any], not_decayed: tuple[int, ...] = ()
    ):
        self.name, self.c, self.not_decayed, self.calls = name, config, not_decayed, 0
        self.w = [w.astype(float) for w in weights]
        self.slots = [self._slots(w) for w in self.w]
        self.average = [np.zeros_like(w) for w in self.w]
        self.sums: dict[int, Any] = {}

    def _slots(self, w: Any) -> Slots:
        made = {name: np.zeros_like(w) for name in ZEROS}
        made["accumulator"] = np.full_like(w, self.c.get("initial_accumulator_value", 0.0))
        if w.ndim > 1:
            made |= {"row": np.zeros(w.shape[:-1]), "col": np.zeros((*w.shape[:-2], w.shape[-1]))}
        if self.name == "ScheduleFreeAdamW":
            made["momentum"] = w.copy()
        return made

    def apply(self, grads: list[Any], lr: float) -> None:
        """One call; None is the gradient of a variable that has none."""
        c, every = self.c, self.c["gradient_accumulation_steps"] or 1
        done = self.calls // every
        live = {k: g / (c["loss_scale_factor"] or 1.0) for k, g in enumerate(grads) if g is not None}
        if every > 1:
            for k, g in live.items():
                self.sums[k] = self.sums.get(k, 0.0) + g
            live = {k: g / every for k, g in self.sums.items()}
        self.calls += 1
        if self.calls % every == 0:
            self.sums = {}
            for k, g in self._clipped(live).items():
                self.w[k] = self._updated(k, g, lr, done + 1)
        if c["use_ema"]:
            m = c["ema_momentum"] if done else 0.0
            self.average = [m * a + (1 - m) * w for a, w in zip(self.average, self.w, strict=True)]
            if c["ema_overwrite_frequency"] and (done + 1) % c["ema_overwrite_frequency"] == 0:
                self.w = [a.copy() for a in self.average]

    def _updated(self, k: int, g: Any, lr: float, t: int) -> Any:
        w, decay = self.w[k], self.c["weight_decay"]
        if self.name == "Muon" and w.ndim != 2:
            decay = self.c["adam_weight_decay"]
        if decay is not None and k not in self.not_decayed:
            w = w - w * decay * lr
        return RULES[self.name](w, g, self.slots[k], lr, t, self.c)

    def _clipped(self, live: dict[int, Any]) -> dict[int, Any]:
        c = self.c
        if c["clipvalue"] is not None:
            return {k: np.clip(g, -c["clipvalue"], c["clipvalue"]) for k, g in live.items()}
        if c["clipnorm"] is not None:
            return {
                k: g * c["clipnorm"] / max(np.sqrt((g * g).sum()), c["clipnorm"]) for k, g in live.items()
            }
        if c["global_clipnorm"] is not None:
            norm = np.sqrt(sum((g * g).sum() for g in live.values()))
            return {
                k: g * c["global_clipnorm"] * min(1 / norm, 1 / c["global_clipnorm"]) for k, g in live.items()
            }
        return live
