"""A script of MXNet with `import symopt as mx`: trainer, scheduler, multipliers, files of states and weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as mx

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 5)).astype("float32")
Y = X @ np.arange(5, dtype="float32") + 1


class Trainer:
    """What gluon's Trainer does with an optimizer and an Updater."""

    def __init__(self, params: dict[str, Any], name: str, options: dict[str, Any]) -> None:
        self.params = params
        self.optimizer = mx.optimizer.create(name, param_idx2name=dict(enumerate(params)), **options)
        self.updater = mx.optimizer.get_updater(self.optimizer)

    def step(self, grads: dict[str, Any], batch_size: int) -> None:
        self.optimizer.rescale_grad = 1.0 / batch_size
        for index, (name, weight) in enumerate(self.params.items()):
            self.updater(index, grads[name], weight)

    def save_states(self, path: Path) -> None:
        path.write_bytes(self.updater.get_states(dump_optimizer=True))

    def load_states(self, path: Path) -> None:
        self.updater.set_states(path.read_bytes())
        self.optimizer = self.updater.optimizer


def train(trainer: Trainer, steps: int) -> float:
    loss = 0.0
    for _ in range(steps):
        weight, bias = trainer.params["dense0_weight"], trainer.params["dense0_bias"]
        error = (X @ weight.T + bias)[:, 0] - Y
        loss = float((error**2).mean())
        grads = {"dense0_weight": 2 * error[None] @ X, "dense0_bias": np.array([2 * error.sum()], "float32")}
        trainer.step(grads, len(X))
    return loss


def begin() -> dict[str, Any]:
    return {"dense0_weight": np.zeros((1, 5), "float32"), "dense0_bias": np.zeros(1, "float32")}


@pytest.mark.parametrize("name", ["adam", "lamb", "nadam"])
def test_a_script_runs_and_goes_on_from_its_files(name: str, tmp_path: Path) -> None:
    schedule = mx.lr_scheduler.CosineScheduler(max_update=300, base_lr=0.1, final_lr=0.001, warmup_steps=10)
    options = {"learning_rate": 0.1, "lr_scheduler": schedule, "wd": 1e-4, "clip_gradient": 10.0}
    trainer = Trainer(begin(), name, options)
    trainer.optimizer.set_lr_mult({"dense0_bias": 2.0})
    trainer.optimizer.set_wd_mult({"dense0_bias": 0.0})
    first = train(trainer, 150)
    trainer.save_states(tmp_path / "trainer.states")
    mx.model.save_checkpoint(tmp_path / "net", 3, None, trainer.params, {})
    mx.nd.save(tmp_path / "net.params", trainer.params)
    last = train(trainer, 150)
    assert last < first < 0.5 and last < 0.05
    assert trainer.optimizer.num_update == 300 and trainer.optimizer.learning_rate == pytest.approx(0.001)
    with pytest.raises(UserWarning, match="lr_scheduler"):
        trainer.optimizer.set_learning_rate(0.5)

    loaded: Any = mx.nd.load(tmp_path / "net.params")
    params, _ = mx.model.load_params(tmp_path / "net", 3)
    again = Trainer(params, name, {"learning_rate": 0.7})
    again.load_states(tmp_path / "trainer.states")
    for key, weight in loaded.items():
        np.testing.assert_array_equal(weight, params[key])
    assert train(again, 150) == last
    for key, weight in trainer.params.items():
        assert weight.tobytes() == params[key].tobytes()
