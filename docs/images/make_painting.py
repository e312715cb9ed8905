"""Draws painting.png: the first pictures of seed 0 for eight prompts, none chosen."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minigen.paint import Painter

PROMPTS = [
    "a large red circle above a small blue square on a white background",
    "a small blue square above a large red circle on a white background",
    "a large green ring left of a large orange triangle on a black background",
    "a large yellow cross right of a small purple square on a white background",
    "a large white diamond below a large purple cross on a green background",
    "a large black triangle left of a large red ring on a yellow background",
    "a large green square on a yellow background",
    "a red circle",
]

pictures = Painter.load("scenes").paint(PROMPTS, rng=np.random.default_rng(0))
figure, axes = plt.subplots(2, 4, figsize=(10, 6), layout="constrained")
for axis, picture, prompt in zip(axes.flat, pictures, PROMPTS, strict=True):
    axis.imshow(picture)
    axis.set_title(textwrap.fill(prompt, 30), fontsize=9)
    axis.axis("off")
figure.savefig(Path(__file__).with_name("painting.png"), dpi=80, bbox_inches="tight")
