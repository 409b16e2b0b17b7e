"""Every rule of torch with the class and arguments that it is, for tests of so.torch and so.convert."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class TorchCase(NamedTuple):
    """A rule, its class of torch.optim, and arguments of both."""

    rule: str
    cls: str
    both: dict[str, Any]  # in torch's words
    fixed: Mapping[str, Any] = MappingProxyType({})  # what only the class is told

    def __str__(self) -> str:
        return "-".join([self.rule, *(f"{k}={v}" for k, v in self.both.items())])


CASES = [
    TorchCase("torch_sgd", "SGD", {"lr": 0.1, "weight_decay": 0.01}),
    TorchCase("torch_sgd_mom", "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}),
    TorchCase("torch_sgd_mom", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    TorchCase("torch_adam", "Adam", {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}),
    TorchCase("torch_adam", "Adam", {"maximize": True, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    TorchCase("torch_amsgrad", "Adam", {"lr": 0.01, "eps": 1e-3}, {"amsgrad": True}),
    TorchCase("torch_adamw", "AdamW", {"lr": 0.01, "weight_decay": 0.2}),
    TorchCase("torch_adamw_amsgrad", "AdamW", {"lr": 0.01}, {"amsgrad": True}),
    TorchCase("torch_nadam", "NAdam", {"lr": 0.01, "momentum_decay": 0.01, "betas": (0.7, 0.99)}),
    TorchCase("torch_radam", "RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    TorchCase("torch_adamax", "Adamax", {"lr": 0.01, "eps": 1e-4}),
    TorchCase("torch_adagrad", "Adagrad", {"lr": 0.1, "lr_decay": 0.1}, {"initial_accumulator_value": 0.0}),
    TorchCase("torch_adagrad", "Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5}),
    TorchCase("torch_adadelta", "Adadelta", {"rho": 0.8}),
    TorchCase("torch_rmsprop", "RMSprop", {"alpha": 0.9}),
    TorchCase("torch_rmsprop_mom", "RMSprop", {"momentum": 0.8, "weight_decay": 0.1}),
    TorchCase("torch_rmsprop_centered", "RMSprop", {"lr": 0.01, "eps": 0.1}, {"centered": True}),
    TorchCase("torch_rmsprop_centered_mom", "RMSprop", {"lr": 0.01, "eps": 0.1, "momentum": 0.5}, {"centered": True}),
    TorchCase("torch_rprop", "Rprop", {"lr": 0.02, "etas": (0.4, 1.3), "step_sizes": (1e-4, 1.0)}),
    TorchCase("torch_asgd", "ASGD", {"lr": 0.1, "lambd": 0.01, "t0": 3.0}),
    TorchCase("torch_adafactor", "Adafactor", {"lr": 0.05, "weight_decay": 0.1}),
]  # fmt: skip
