"""`so.model`: checkpoints under the names of `mx.model`.

>>> import numpy as np, os, tempfile
>>> prefix = os.path.join(tempfile.mkdtemp(), "net")
>>> save_checkpoint(prefix, 3, None, {"fc1_weight": np.ones(2)}, {})
>>> load_params(prefix, 3)
({'fc1_weight': array([1., 1.])}, {})
"""

from .mxnetfiles import load_checkpoint, load_params, save_checkpoint

__all__ = ["load_checkpoint", "load_params", "save_checkpoint"]
