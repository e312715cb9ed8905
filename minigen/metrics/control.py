"""How exactly a painting keeps to a palette or a mask, told from its pixels."""

import numpy as np


def palette_distance(images: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The mean over the pixels of each picture of how far the nearest colour of the palette is.

    Distances are those of CIELAB, where 2 can just be seen and black is 100 from white (CIE 1976).

    Shapes: uint8 (N, H, W, 3) and (K, 3) -> (N,).
    Raises: ValueError without scikit-image, the extra `data`.
    """
    try:
        from skimage.color import rgb2lab
    except ImportError:
        raise ValueError('palette_distance: needs pip install "minigen[data]"') from None
    pixels, colours = rgb2lab(images), rgb2lab(palette[None])[0]  # (N, H, W, 3), (K, 3)
    far = np.sqrt(((pixels[..., None, :] - colours) ** 2).sum(axis=-1))  # (N, H, W, K)
    return far.min(axis=-1).mean(axis=(1, 2))


def mask_iou(images: np.ndarray, masks: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Intersection over union of the asked masks and what was painted on a ground of one colour.

    A pixel is painted where it is nearer to the colour that lies furthest from the ground, in its
    picture, than to the ground. Where nothing is painted and nothing asked it is 1.

    Shapes: uint8 (N, H, W, 3), bool (N, H, W), uint8 (N, 3) -> (N,).
    """
    away = np.abs(images.astype(float) - ground[:, None, None]).max(axis=-1)  # (N, H, W)
    furthest = away.max(axis=(1, 2), keepdims=True)
    painted = (away > furthest / 2) & (furthest > 32)  # of 255: less is noise on the ground
    union = (painted | masks).sum(axis=(1, 2))
    both = (painted & masks).sum(axis=(1, 2))
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)
