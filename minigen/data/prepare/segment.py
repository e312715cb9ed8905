"""Step 4: find the foreground, what is not like the border of the picture.

Three ways, from simple to careful. All begin with how far the colour of a pixel is from those of
the border, in the Lab space, where distances are what the eye makes of them.

threshold    a pixel is foreground if it is further away than Otsu's threshold, which splits the
             distances into two groups with the least variance within them
watershed    pixels that are surely near and surely far are marked, and water that rises over the
             gradient joins the others to them: the borders come to lie on edges
graph_cut    the picture is cut into some 1500 superpixels of one colour each (SLIC), and the
             labels f, 0 or 1, are those of the smallest ::

                 E(f) = sum_i cost_i(f_i) + strength sum_ij length_ij exp(-|c_i - c_j|^2 / 2 s^2)

             over neighbours i, j with f_i != f_j. Such an energy is a cut through a graph, and the
             smallest one is found exactly, as the largest flow through it.

Which is best where is measured in tests/data/test_prepare_steps.py, on pictures whose foreground is
known.

Source: N. Otsu, A threshold selection method from gray-level histograms, 1979; L. Vincent and P.
Soille, Watersheds in digital spaces, 1991; R. Achanta et al., SLIC superpixels, 2012; Y. Boykov and
M.-P. Jolly, Interactive graph cuts for optimal boundary and region segmentation, 2001.
"""

from __future__ import annotations

import numpy as np

SUPERPIXELS = 1500
STRENGTH = 2.0  # of the second sum of E
_ROUNDS = 2  # of learning the colours of the inside, and cutting
_COLOURS = 6  # of the inside
_FLOW = 1000  # capacities are whole numbers: this many stand for 1
JUST_SEEN = 8.0  # a distance in Lab that nobody overlooks
_SPECK = 0.002  # of the picture: smaller pieces are no object and no hole


def foreground(picture: np.ndarray, method: str = "graph_cut") -> np.ndarray:
    """Which pixels of (H, W, 3) uint8 belong to the foreground: (H, W) bool.

    All False in a picture of one colour.

    Raises: ValueError for a method that is not there.
    """
    if method not in METHODS:
        raise ValueError(f"segment: got method {method!r}, expected one of {', '.join(METHODS)}")
    from skimage.color import rgb2lab
    from skimage.filters import gaussian

    lab = rgb2lab(gaussian(picture / 255.0, 0.5, channel_axis=-1)).astype(np.float32)
    distance, spread = from_background(lab)
    limit = max(4 * spread, JUST_SEEN, float(0.25 * np.quantile(distance, 0.99)))
    if not (distance > limit).any():
        return np.zeros(distance.shape, bool)
    return _without_specks(METHODS[method](lab, distance, limit))


def from_background(lab: np.ndarray) -> tuple[np.ndarray, float]:
    """How far every pixel is from the background that the border promises, and its own spread.

    The background is a polynomial of degree 2 in x and y, which a wall in the light of a window is,
    fitted to the pixels along the border; those that do not fit, where an object touches it, are
    left out, again and again.

    Shapes: (H, W, 3) -> (H, W), and the median distance of the border.
    """
    height, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)  # (H, W, 6)
    thick = max(1, round(0.04 * min(height, width)))
    border = np.ones((height, width), bool)
    border[thick:-thick, thick:-thick] = False
    at, colour = terms[border], lab[border]
    off = np.linalg.norm(colour - np.median(colour, axis=0), axis=1)
    fits = off <= np.quantile(off, 0.85)
    for _ in range(4):
        weights = np.linalg.lstsq(at[fits], colour[fits], rcond=None)[0]  # (6, 3)
        off = np.linalg.norm(colour - at @ weights, axis=1)
        fits = off <= max(3 * np.median(off), 1.0)
    return np.linalg.norm(lab - terms @ weights, axis=-1), float(np.median(off))


def _main_colours(colours: np.ndarray, k: int) -> np.ndarray:
    """The means of k groups of colours, by ten rounds of k-means."""
    order = np.argsort(np.linalg.norm(colours - np.median(colours, axis=0), axis=1))
    means = colours[order[np.linspace(0, len(order) - 1, k).astype(int)]]
    for _ in range(10):
        group = np.linalg.norm(colours[:, None] - means, axis=2).argmin(1)
        means = np.stack(
            [colours[group == j].mean(0) if (group == j).any() else means[j] for j in range(k)]
        )
    return means


def _threshold(lab: np.ndarray, distance: np.ndarray, limit: float) -> np.ndarray:
    from skimage.filters import threshold_otsu

    return distance > max(limit, threshold_otsu(distance))


def _watershed(lab: np.ndarray, distance: np.ndarray, limit: float) -> np.ndarray:
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    gradient = np.linalg.norm([sobel(channel) for channel in np.moveaxis(lab, 2, 0)], axis=0)
    marks = np.zeros(distance.shape, np.int32)
    marks[distance < 0.5 * limit] = 1
    marks[distance > 1.5 * limit] = 2
    return watershed(gradient, marks) == 2


def _graph_cut(lab: np.ndarray, distance: np.ndarray, limit: float) -> np.ndarray:
    parts = _superpixels(lab)
    n = parts.max() + 1
    size = np.bincount(parts.ravel(), minlength=n)

    def mean(values: np.ndarray) -> np.ndarray:  # of each part
        return np.bincount(parts.ravel(), values.ravel(), n) / size

    colour = np.stack([mean(lab[:, :, k]) for k in range(3)], axis=1)
    near = mean(distance)
    pairs, length = _neighbours(parts)
    step = np.linalg.norm(colour[pairs[:, 0]] - colour[pairs[:, 1]], axis=1)
    bond = STRENGTH * length * np.exp(-(step**2) / (2 * limit**2))
    inside = near > limit
    for _ in range(_ROUNDS):
        if not inside.any():
            break
        cost = np.stack([near, _from_main(colour, colour[inside])], axis=1)  # of 0, of 1
        inside = _smallest_cut(cost / limit * size[:, None], pairs, bond)
    return inside[parts]


def _superpixels(lab: np.ndarray) -> np.ndarray:
    """The number of its superpixel for every pixel; in a small picture each pixel is one."""
    height, width = lab.shape[:2]
    if height * width <= 3 * SUPERPIXELS:
        return np.arange(height * width).reshape(height, width)
    from skimage.segmentation import slic

    return slic(lab, SUPERPIXELS, compactness=5, convert2lab=False, start_label=0, channel_axis=-1)


def _from_main(colour: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """How far colours are from the nearest of the main ones inside."""
    main = _main_colours(inside, min(_COLOURS, len(inside)))
    return np.linalg.norm(colour[:, None] - main, axis=2).min(1)


def _neighbours(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of parts that touch (P, 2), and along how many pixels (P,)."""
    touching = np.concatenate(
        [
            np.stack([parts[:, :-1].ravel(), parts[:, 1:].ravel()], 1),
            np.stack([parts[:-1].ravel(), parts[1:].ravel()], 1),
        ]
    )
    touching = np.sort(touching[touching[:, 0] != touching[:, 1]], axis=1)
    return np.unique(touching, axis=0, return_counts=True)


def _smallest_cut(cost: np.ndarray, pairs: np.ndarray, bond: np.ndarray) -> np.ndarray:
    """The labels (N,) of the smallest E, by the largest flow from a source to a sink.

    An edge from the source to i carries cost_i(0), one from i to the sink cost_i(1), and one
    between neighbours, each way, their bond. What the source still reaches when no more can flow is
    label 1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    n = len(cost)
    source, sink, each = n, n + 1, np.arange(n)
    a, b = pairs.T
    rows = np.concatenate([np.full(n, source), each, a, b])
    columns = np.concatenate([each, np.full(n, sink), b, a])
    capacity = np.concatenate([cost[:, 0], cost[:, 1], bond, bond])
    whole = np.minimum(np.rint(_FLOW * capacity), 2**30).astype(np.int32)
    graph = coo_array((whole, (rows, columns)), shape=(n + 2, n + 2)).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    labels = np.zeros(n + 2, bool)
    labels[reached] = True
    return labels[:n]


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Without pieces, and without holes, that are smaller than a share of the picture."""
    from skimage.measure import label

    least = max(2, int(_SPECK * mask.size))
    for value in (True, False):
        pieces = label(mask == value, connectivity=1)
        small = np.bincount(pieces.ravel()) < least
        small[0] = False  # 0 is what has the other value
        mask = mask ^ small[pieces]
    return mask


METHODS = {"threshold": _threshold, "watershed": _watershed, "graph_cut": _graph_cut}
