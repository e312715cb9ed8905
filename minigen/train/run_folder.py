"""A run's folder: all that one training writes, to be looked at, stopped and gone on with.

    runs/scenes-1/
        config.json                        the recipe, its settings, versions
        log.csv                            step, minutes, loss, ... one line per log_every steps
        loss.png                           the log as a picture
        samples/step_00001000.png          from the same noise every time: progress can be seen
        checkpoints/step_00001000.safetensors      the newest two
        weights.safetensors                at the end: the averaged weights alone, to be passed on

A new one and an old one: `RunFolder.create("scenes", {"seed": 0})`, `RunFolder("runs/scenes-1")`.
"""

import csv
import io
import json
import logging
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigen import __version__
from minigen.data.pixels import grid, png_bytes
from minigen.train.files import (
    DamagedFileError,
    SaveError,
    State,
    load_weights,
    save_bytes,
    save_weights,
    split_parts,
)
from minigen.train.meter import is_loss

KEPT = 2  # checkpoints: the newest, and one more in case that one is damaged
NOTED = ("recipe", "config", "step", "seconds")  # beside the weights that are passed on
_log = logging.getLogger("minigen")


class RunFolder:
    """An existing run folder.

    path    the folder
    recipe  name of the module in minigen/recipes that made it
    config  the recipe's settings, a dict as in config.json
    whole   the folder that commands name: path, but of a stage that of the run it belongs to

    Raises: FileNotFoundError or ValueError where `path` is no run folder.
    """

    def __init__(self, path: str | Path):
        self.path = self.whole = Path(path)
        file = self.path / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"run folder: {self.path} is none: it has no config.json")
        try:
            content = json.loads(file.read_text())
            self.recipe, self.config = str(content["recipe"]), dict(content["config"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"run folder: {file} is damaged: {error!r}") from error

    @classmethod
    def create(
        cls, recipe: str, config: Mapping[str, Any], parent: str | Path = "runs"
    ) -> "RunFolder":
        """Make parent/<recipe>-<n> with the next free number.

        Raises: OSError where the folder cannot be made.
        """
        pattern = re.compile(re.escape(recipe) + r"-(\d+)")
        try:
            Path(parent).mkdir(parents=True, exist_ok=True)
            while True:
                names = (pattern.fullmatch(p.name) for p in Path(parent).iterdir())
                n = 1 + max((int(match[1]) for match in names if match), default=0)
                path = Path(parent) / f"{recipe}-{n}"
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    continue  # another training was faster
            for folder in ("samples", "checkpoints"):
                (path / folder).mkdir()
        except OSError as error:
            raise OSError(f"cannot make a run folder in {parent}: {error.strerror}") from error
        cls._write_config(path, recipe, config)
        return cls(path)

    def stage(self, name: str) -> "RunFolder":
        """A folder within this one, for a training that comes before the run's last one.

        What a first stage has learnt, runs/dalle-1/autoencoder, is built upon by the next.

        Raises: OSError where the folder cannot be made.
        """
        path = self.path / name
        for folder in ("samples", "checkpoints"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        self._write_config(path, f"{self.recipe}/{name}", self.config)
        inner = RunFolder(path)
        inner.whole = self.whole
        return inner

    @staticmethod
    def _write_config(path: Path, recipe: str, config: Mapping[str, Any]) -> None:
        content = {
            "recipe": recipe,
            "config": dict(config),
            "minigen": __version__,
            "numpy": np.__version__,
            "written": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        text = json.dumps(content, indent=2, default=str) + "\n"
        save_bytes(path / "config.json", text.encode())

    def change_config(self, **changes: Any) -> None:
        """Write other settings into config.json, as when a run goes on for longer than planned."""
        self._write_config(self.path, self.recipe, self.config | changes)
        self.config |= changes

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that has written nothing: its settings were wrong."""
        if not self.checkpoints() and not (self.path / "log.csv").exists():
            shutil.rmtree(self.path)

    # ---------------------------------------------------------------------------------- checkpoints

    def checkpoints(self) -> list[Path]:
        """The files, newest first."""
        return sorted((self.path / "checkpoints").glob("step_*.safetensors"), reverse=True)

    def save_checkpoint(self, arrays: State, note: Mapping[str, Any]) -> Path:
        """Write the state after `note["step"]` steps, then drop all but the newest `KEPT` files.

        Raises: SaveError; the older checkpoints are then as they were.
        """
        path = self.path / "checkpoints" / f"step_{note['step']:08d}.safetensors"
        save_weights(path, arrays, {**note, "recipe": self.recipe, "config": self.config})
        for old in self.checkpoints()[KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The newest checkpoint that is whole, as (arrays, note), or None where there is none.

        Raises: DamagedFileError where there are checkpoints and all of them are damaged.
        """
        paths, damaged = self.checkpoints(), []
        for path in paths:
            try:
                arrays, note = load_weights(path)
                if "step" not in note:
                    raise DamagedFileError(f"load_checkpoint: {path} is damaged: it names no step")
            except DamagedFileError as error:
                damaged.append(error)
                continue
            for reason in damaged:
                _log.warning("%s; the checkpoint of step %d is used", reason, note["step"])
            return arrays, note
        if damaged:
            raise DamagedFileError(f"{damaged[0]}; no other checkpoint is left")
        return None

    def export_weights(self) -> Path:
        """Write weights.safetensors from the newest checkpoint, in float16: half the space."""
        path = self.path / "weights.safetensors"
        save_weights(path, *load_model(self.path), dtype="float16")
        return path

    def set_aside(self, step: int) -> None:
        """Before a run goes on from `step`: what lies beyond is renamed or, in the log, removed."""
        for path in self.checkpoints():
            if int(path.stem.removeprefix("step_")) > step:
                path.replace(path.with_suffix(".damaged"))
        for path in (self.path / "checkpoints").glob(".*.tmp"):
            path.unlink(missing_ok=True)  # of a process that was killed while it wrote
        self._cut_log(step)

    # ----------------------------------------------------------------------------- log and pictures

    def log(self, row: Mapping[str, float]) -> None:
        """Append a line to log.csv; the first line decides on the columns."""
        path = self.path / "log.csv"
        try:
            with open(path, "a+", newline="") as file:
                file.seek(0)
                header = file.readline().strip()
                names = header.split(",") if header else list(row)
                writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
                file.seek(0, io.SEEK_END)
                if not header:
                    writer.writeheader()
                writer.writerow({name: f"{value:.7g}" for name, value in row.items()})
        except OSError as error:
            raise SaveError.of(error, path) from error

    def read_log(self) -> dict[str, list[float]]:
        """log.csv by columns, without lines that are not whole; empty where nothing was logged."""
        names, rows = self._log_rows()
        return {name: [float(row[i] or "nan") for row in rows] for i, name in enumerate(names)}

    def _log_rows(self) -> tuple[list[str], list[list[str]]]:
        path = self.path / "log.csv"
        if not path.is_file():
            return [], []
        with open(path, newline="") as file:
            names, *rows = list(csv.reader(file)) or [[]]
        return names, [row for row in rows if len(row) == len(names) and row[0].isdigit()]

    def _cut_log(self, step: int) -> None:
        """Leave the lines up to `step`: a run that goes on from there writes the others again."""
        names, rows = self._log_rows()
        if names:
            text = io.StringIO(newline="")
            csv.writer(text).writerows([names, *(row for row in rows if int(row[0]) <= step)])
            save_bytes(self.path / "log.csv", text.getvalue().encode())

    def save_samples(self, step: int, pictures: np.ndarray) -> Path:
        """Write samples/step_<step>.png, see save_picture."""
        path = self.path / "samples" / f"step_{step:08d}.png"
        save_picture(path, pictures)
        return path

    def plot_loss(self) -> None:
        """Draw the loss in log.csv against the step into loss.png."""
        log = self.read_log()
        if not log.get("step"):
            return
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure  # not pyplot, which would look for a window system

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        steps, losses = np.array(log["step"]), [name for name in log if is_loss(name)]
        for name in losses:
            values = np.array(log[name])
            known = np.isfinite(values)  # a turn need not come between two lines
            axes.plot(steps[known], values[known], linewidth=1, label=name.removesuffix("_loss"))
        axes.set(xlabel="step", ylabel="loss", title=self.path.name)
        if len(losses) > 1:
            axes.legend()
        axes.grid(alpha=0.3)
        file = io.BytesIO()
        FigureCanvasAgg(figure).print_png(file)
        save_bytes(self.path / "loss.png", file.getvalue())


def save_picture(path: str | Path, pictures: np.ndarray) -> None:
    """Write one PNG, atomically: a grid of pictures (N, H, W, 3), or a single one (H, W, 3); uint8.

    Raises: SaveError.
    """
    save_bytes(path, png_bytes(pictures if pictures.ndim == 3 else grid(pictures, gap=2)))


@dataclass(frozen=True)
class WeightsFile:
    """A weights file as what a recipe samples from and evaluates: it has what a RunFolder has."""

    path: Path
    recipe: str
    config: dict[str, Any]


def open_model(path: str | Path) -> RunFolder | WeightsFile:
    """A run folder, or a weights file that says of which recipe it is.

    Raises: FileNotFoundError where there is none; ValueError where it names no recipe.
    """
    path = Path(path)
    if not path.is_file():
        return RunFolder(path)
    note = load_weights(path)[1]
    if not {"recipe", "config"} <= note.keys():
        raise ValueError(f"model: {path} does not say of which recipe it is")
    return WeightsFile(path, note["recipe"], note["config"])


def load_model(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(weights, note) of a weights file, or of a run folder's newest checkpoint.

    Of a checkpoint come the averaged weights where there is an average. The note names
    "recipe", "config", "step" and "seconds" of training.

    Raises: FileNotFoundError where there is nothing to load; DamagedFileError.
    """
    if not Path(path).is_dir():
        return load_weights(path)
    checkpoint = RunFolder(path).load_checkpoint()
    if checkpoint is None:
        raise FileNotFoundError(f"load_model: {path} holds no checkpoint yet")
    arrays, note = checkpoint
    parts = split_parts(arrays)
    kept = {name: note[name] for name in NOTED if name in note}
    average = parts.get("ema", {})  # of parameters; buffers have none
    return {name: average.get(name, a) for name, a in parts["model"].items()}, kept
