"""From a prompt to a picture: the painter behind `minigen paint`.

    painter = Painter.load("scenes")
    pictures = painter.paint(["a red circle"], rng=np.random.default_rng(0))
    pictures.shape, pictures.dtype                                       # (1, 32, 32, 3), uint8

A picture starts as noise drawn from `rng`. A sampler follows the velocity that the network predicts
for the prompt, pushed further away from the one for no prompt (classifier-free guidance). What else
it may be asked for, a palette, a hole to fill, a picture to begin with, are Conditions.
"""

from minigen.paint.command import run_paint
from minigen.paint.conditions import Conditions
from minigen.paint.painter import BATCH, Painter, check_prompt

__all__ = ["BATCH", "Conditions", "Painter", "check_prompt", "run_paint"]
