"""Draws style.jpg: a photograph in three drawn styles, by neural style transfer and by AdaIN.

The photograph is the one that matplotlib ships: Grace Hopper, by James S. Davis, United States
Navy, in the public domain.
"""

from pathlib import Path

import matplotlib.cbook as cbook
import numpy as np
from PIL import Image

from minigen.backend import use_kernels
from minigen.data.folder import load_square
from minigen.data.pixels import grid, to_float, to_uint8
from minigen.data.textures import texture
from minigen.models.style.adain import stylize
from minigen.models.style.neural_style import NeuralStyleConfig, transfer
from minigen.recipes import adain, texture_features
from minigen.train import open_model
from minigen.weights import find

SIZE = 160
STYLES = {"swirls": 16, "patches": 24, "zigzag": 20}  # and their periods, pixels

use_kernels("auto")
photo = load_square(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False), SIZE)
content = to_float(photo[None])
styles = [
    texture(name, SIZE, np.random.default_rng(seed), period=period)[None] * 2 - 1
    for seed, (name, period) in enumerate(STYLES.items())
]
vgg, painter = texture_features.vgg(), adain.trained(open_model(find("adain")))
rng = np.random.default_rng(0)
slow = [transfer(vgg, content, [style], NeuralStyleConfig(), rng) for style in styles]
fast = [stylize(painter, content, [style]) for style in styles]
tiles = np.concatenate(
    [content, *styles, np.ones_like(content), *slow, np.ones_like(content), *fast]
)
sheet = grid(to_uint8(tiles), 1 + len(styles), 3)
Image.fromarray(sheet).save(Path(__file__).with_name("style.jpg"), quality=90)
