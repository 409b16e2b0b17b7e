"""Where MXNet keeps GroupAdaGrad."""

from .adagrad import GroupAdaGrad

__all__ = ["GroupAdaGrad"]
