"""What a painting may be asked for beside its prompt; names as in diffusers where it has them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from minigen.data.folder import square
from minigen.data.pixels import load_image


@dataclass(frozen=True)
class Conditions:
    """What is None, empty or as below changes nothing.

    negative_prompt    away from what it says: it stands where "no prompt" stood in the guidance
    mix                prompts with weights of sum 1, in the place of the one prompt
    init, strength     a picture to begin with, uint8 (H, W, 3), and the share of it that is lost:
                       at 0 it stays as it is, at 1 nothing of it is left (SDEdit, 2108.01073)
    mask, resample     (H, W), True where to paint; elsewhere the pixels of `init` stay as they are,
                       bit for bit. Each step is taken `resample` times (RePaint, 2201.09865)
    palette, palette_strength
                       colours, uint8 (K, 3), and how far to go towards them, 0 to 1
    guidance_interval  times between which the guidance counts, 1 is noise (2404.07724)
    guidance_rescale   0 to 1: how far pictures that it burns out are brought back (2305.08891)

    Raises: ValueError for numbers out of range, a mask without `init`, or shapes that differ.
    """

    negative_prompt: str = ""
    mix: tuple[tuple[str, float], ...] = ()
    init: np.ndarray | None = None
    strength: float = 0.6
    mask: np.ndarray | None = None
    resample: int = 4
    palette: np.ndarray | None = None
    palette_strength: float = 1.0
    guidance_interval: tuple[float, float] | None = None
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        for name in ("strength", "palette_strength", "guidance_rescale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"paint: {name} is {getattr(self, name)}, expected 0 to 1")
        if self.mask is not None and self.init is None:
            raise ValueError("paint: a mask needs a picture, `init`, whose other pixels stay")
        if self.mask is not None and self.init is not None:
            if self.mask.shape != self.init.shape[:2]:
                raise ValueError(
                    f"paint: the mask has {_size(self.mask)} pixels, the picture {_size(self.init)}"
                )
            if not self.mask.any():
                raise ValueError("paint: the mask is empty: nothing is to be painted")
        if self.guidance_interval is not None:
            low, high = self.guidance_interval
            if not 0 <= low < high <= 1:
                raise ValueError(
                    f"paint: guidance_interval is {low:g} to {high:g}, expected two times in 0 to 1"
                )
        if self.mix and abs(sum(weight for _, weight in self.mix) - 1) > 1e-6:
            total = sum(weight for _, weight in self.mix)
            raise ValueError(f"paint: the weights of the mix sum to {total:g}, expected 1")

    def fit(self, size: int) -> None:
        """Raises: ValueError where `init` is not size x size pixels."""
        if self.init is not None and self.init.shape != (size, size, 3):
            raise ValueError(
                f"paint: the picture has {_size(self.init)} pixels, the model {size} x {size}"
            )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


NONE = Conditions()


def conditions_of(asked: Mapping[str, Any], size: int) -> Conditions:
    """What a command line, or the text in a PNG, asks for: `asked` has only what was given.

    Texts for palette and mix, file names for init and mask. A picture becomes size x size pixels,
    its central square; of a mask, which has the pixels of its picture, light ones are painted.

    Raises: ValueError for what makes no sense, OSError for files.
    """
    found = dict(asked)
    for name, read in (("palette", read_palette), ("mix", read_mix), ("guidance_interval", tuple)):
        if name in found:
            found[name] = read(found[name])
    for name in ("init", "mask"):
        if name in found:
            found[name] = load_image(found[name])
    if {"init", "mask"} <= set(found) and found["init"].shape != found["mask"].shape:
        raise ValueError(
            f"paint: the mask has {_size(found['mask'])} pixels, the picture {_size(found['init'])}"
        )
    for name in ("init", "mask"):
        if name in found:
            found[name] = square(Image.fromarray(found[name]), size)
    if "mask" in found:
        found["mask"] = found["mask"].mean(axis=-1) >= 128
    return Conditions(**found)


def read_palette(text: str) -> np.ndarray:
    """Colours as in CSS, #rgb or #rrggbb, between spaces or commas: uint8 (K, 3).

    >>> read_palette("#d33 #ffffff").tolist()
    [[221, 51, 51], [255, 255, 255]]

    Raises: ValueError for what is no colour, or no colours.
    """
    colours = []
    for word in text.replace(",", " ").split():
        match = re.fullmatch("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", word)
        if not match:
            raise ValueError(f"paint: {word!r} is no colour, expected one like #d33 or #dd3333")
        digits = match[1] if len(match[1]) == 6 else "".join(2 * digit for digit in match[1])
        colours.append([int(digits[k : k + 2], 16) for k in (0, 2, 4)])
    if not colours:
        raise ValueError("paint: the palette is empty, expected colours like #d33")
    return np.array(colours, np.uint8)


def read_mix(text: str) -> tuple[tuple[str, float], ...]:
    """Prompts with weights, which are brought to sum 1.

    >>> read_mix("a red ring:1, a blue ring:3")
    (('a red ring', 0.25), ('a blue ring', 0.75))

    Raises: ValueError where a weight is missing or below 0, or all are 0.
    """
    found = []
    for part in text.split(","):
        prompt, colon, weight = part.rpartition(":")
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not colon or not 0 <= number < float("inf"):
            raise ValueError(f"paint: {part.strip()!r} is no part of a mix, expected prompt:weight")
        found.append((prompt.strip(), number))
    total = sum(number for _, number in found)
    if not total:
        raise ValueError("paint: all weights of the mix are 0")
    return tuple((prompt, number / total) for prompt, number in found)
