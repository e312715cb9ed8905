"""Training: one loop, a folder for each run, and files that survive a crash."""

from minigen.train.config import config_from, option
from minigen.train.files import (
    DamagedFileError,
    SaveError,
    load_weights,
    save_weights,
    write_atomically,
)
from minigen.train.loop import NotFiniteError, train
from minigen.train.run_folder import RunFolder, load_model

__all__ = [
    "DamagedFileError",
    "NotFiniteError",
    "RunFolder",
    "SaveError",
    "config_from",
    "load_model",
    "load_weights",
    "option",
    "save_weights",
    "train",
    "write_atomically",
]
