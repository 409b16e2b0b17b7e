"""What a step costs: bytes, arithmetic and time, before it runs (`model`) and measured (`profile`)."""

from .bandwidth import Calibration
from .measure import calibrate
from .model import Cost, LaunchCost, cost, predicted

__all__ = ["Calibration", "Cost", "LaunchCost", "calibrate", "cost", "predicted"]
