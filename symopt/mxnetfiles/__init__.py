"""The files of MXNet: arrays (`.params`), checkpoints, and the states of an Updater (`.states`), read and written.

Files are taken for hostile: what is damaged, cut short or something else is a FormatError that names the byte, and
pickles are read as data, without running anything in them. What is written appears whole or not at all.
"""

from .checkpoints import load_checkpoint, load_params, save_checkpoint
from .inert import ObjectRecord
from .params import load, load_frombuffer, save
from .states import UpdaterStates, load_updater_states, read_states, save_updater_states, write_states

__all__ = [
    "ObjectRecord",
    "UpdaterStates",
    "load",
    "load_checkpoint",
    "load_frombuffer",
    "load_params",
    "load_updater_states",
    "read_states",
    "save",
    "save_checkpoint",
    "save_updater_states",
    "write_states",
]
