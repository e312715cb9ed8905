"""Training: one loop, a folder for each run, and files that survive a crash."""

from minigen.train.config import config_from, option, part_of
from minigen.train.files import (
    DamagedFileError,
    SaveError,
    load_weights,
    save_bytes,
    save_weights,
)
from minigen.train.loop import DivergedError, NotFiniteError, train
from minigen.train.run_folder import RunFolder, WeightsFile, load_model, open_model, save_picture
from minigen.train.turn import Turn

__all__ = [
    "DamagedFileError",
    "DivergedError",
    "NotFiniteError",
    "RunFolder",
    "SaveError",
    "Turn",
    "WeightsFile",
    "config_from",
    "load_model",
    "load_weights",
    "open_model",
    "option",
    "part_of",
    "save_bytes",
    "save_picture",
    "save_weights",
    "train",
]
