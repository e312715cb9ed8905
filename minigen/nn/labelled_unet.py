"""The U-Net of small pictures with a label: over patches, told the class beside the time.

    x (N, H, W, C) -> patches (N, H/p, W/p, p p C) -> UNet of time and label -> (N, H, W, C)

Source: patches Shi et al., 2016, arXiv 1609.05158; the class added to the time's vector Dhariwal
and Nichol, 2021, section 3, arXiv 2105.05233; a label for "none" Ho and Salimans, 2022, section
3.2, arXiv 2207.12598.
"""

from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.nn.embedding import Embedding
from minigen.nn.module import Module
from minigen.nn.unet import UNet, UNetConfig
from minigen.ops import pixel_shuffle, space_to_depth


class LabelledUNet(Module):
    """A U-Net over patches that knows the label; attention at its deepest level.

    classes      the label `classes` stands for none, for classifier-free guidance
    channels     of the U-Net, with `blocks` ResBlocks a level; the first level has a pixel a patch
    size, patch  pixels along each side of the picture and of a patch
    time_scale   1 for DDPM's integers, 1000 for t in [0, 1]

    Shapes: xt (N, size, size, in_channels), t (N,), labels (N,) integers -> as xt.
    Raises: ValueError where patches do not fill the picture, or there is not one label a picture;
    IndexError for a label out of range.
    """

    def __init__(
        self,
        classes: int,
        channels: tuple[int, ...] = (64, 128),
        blocks: int = 1,
        *,
        size: int = 28,
        in_channels: int = 1,
        patch: int = 2,
        time_scale: float = 1000.0,
        rng: np.random.Generator,
    ):
        if size % patch:
            raise ValueError(f"LabelledUNet: size {size} is no multiple of patch {patch}")
        levels = len(channels)
        config = UNetConfig(
            in_channels=patch * patch * in_channels,
            out_channels=patch * patch * in_channels,
            sample_size=size // patch,
            channels=channels,
            blocks=blocks,
            self_attention=(False,) * (levels - 1) + (True,),
            cross_attention=(False,) * levels,
            time_scale=time_scale,
        )
        self.patch = patch
        self.label = Embedding(classes + 1, config.embedding_width, rng=rng)
        self.unet = UNet(config, rng=rng)

    def forward(self, xt: Any, t: Any, labels: Any) -> Tensor:
        if labels.shape != xt.shape[:1]:
            raise ValueError(f"LabelledUNet: {len(xt)} pictures have labels {labels.shape}")
        patches = space_to_depth(xt, self.patch)  # (N, H/p, W/p, p p C)
        return pixel_shuffle(self.unet(patches, t, embedding=self.label(labels)), self.patch)
