"""Captioned pictures drawn on the fly: coloured shapes, alone or in pairs, with their truth.

A scene is a background colour and one or two objects; every object has a size, a colour, a shape
and a place. A picture is 32 x 32 pixels, sRGB, uint8. Pixel i of a row has its centre at i + 0.5,
y points down, and a pixel belongs to an object by ::

    coverage = clip(0.5 - sdf(x, y), 0, 1)                                             (1)
    picture  = picture + coverage * (colour - picture)          object after object    (2)

where sdf is the signed distance to the outline (negative inside, pixels). Everything comes in two
forms: `Scene`, one at a time and pleasant to read, and `Columns`, one array per attribute, which is
what training uses because it is drawn 64 scenes at a time.

Six colour-shape pairs, `HELD_OUT_PAIRS`, one per shape, are left out of training pictures: whether
a model paints them all the same is the test of composition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

CANVAS = 32  # pixels

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 50, 47),
    "green": (60, 160, 60),
    "blue": (50, 90, 210),
    "yellow": (240, 200, 40),
    "purple": (140, 70, 180),
    "orange": (240, 130, 40),
    "white": (245, 245, 245),
    "black": (30, 30, 30),
}
COLOUR_NAMES = tuple(COLOURS)
PALETTE = np.array(list(COLOURS.values()), np.float32)  # (8, 3)
SHAPES = ("circle", "square", "triangle", "diamond", "ring", "cross")
SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")

# No colour stands here twice: a colour has at most one forbidden shape (`_forbid` relies on it).
HELD_OUT_PAIRS = (
    ("red", "square"),
    ("green", "triangle"),
    ("blue", "ring"),
    ("yellow", "diamond"),
    ("purple", "circle"),
    ("orange", "cross"),
)

RADII = np.array([4.2, 6.8], np.float32)  # pixels, of small and large
ALONE = np.float32(1.25)  # an object alone is drawn this much larger
ALONE_CENTRE, ALONE_JITTER = 16.0, 4.0  # pixels
PAIR_JITTER = 1.5  # pixels
# (relation, object, xy): the centres of the first and of the second object, pixels
PAIR_CENTRES = np.array(
    [
        [[8.5, 16.0], [23.5, 16.0]],
        [[23.5, 16.0], [8.5, 16.0]],
        [[16.0, 8.5], [16.0, 23.5]],
        [[16.0, 23.5], [16.0, 8.5]],
    ],
    np.float32,
)

HeldOut = Literal["never", "only", "any"]

_CHUNK = 64  # scenes drawn at once: the work of one chunk stays in the processor's cache


@dataclass(frozen=True)
class SceneObject:
    """One object; x and y are its centre in pixels."""

    size: str
    colour: str
    shape: str
    x: float
    y: float


@dataclass(frozen=True)
class Scene:
    """A background and one or two objects; objects[0] stands `relation` objects[1]."""

    background: str
    objects: tuple[SceneObject, ...]
    relation: str | None = None


class Columns(NamedTuple):
    """n scenes, one array per attribute, as indices into the tables above.

    Shapes: background, relation (n,); size, colour, shape, x, y (n, 2), one column per object.
    The relation -1 means an object alone; its second column is there and ignored.
    """

    background: np.ndarray
    relation: np.ndarray
    size: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    x: np.ndarray
    y: np.ndarray


# Drawing -----------------------------------------------------------------------------------------


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Signed distance of the points (x, y) to a shape of radius r around 0, negative inside.

    Shapes: x, y and r broadcast against each other. *Units*: pixels, y down.
    """
    if shape == "circle":
        return np.sqrt(x * x + y * y) - r
    if shape == "ring":
        return abs(np.sqrt(x * x + y * y) - 0.8 * r) - 0.25 * r
    if shape == "triangle":
        return np.maximum(y - 0.75 * r, 0.894 * abs(x) - 0.447 * (y + r))
    x, y = abs(x), abs(y)
    if shape == "square":
        return np.maximum(x, y) - 0.88 * r
    if shape == "diamond":
        return x + y - 1.15 * r
    if shape == "cross":
        return np.minimum(np.maximum(x - 0.33 * r, y - r), np.maximum(y - 0.33 * r, x - r))
    raise ValueError(f"signed_distance: got shape {shape!r}, expected one of {', '.join(SHAPES)}")


def coverage(
    shape: np.ndarray, x: np.ndarray, y: np.ndarray, r: np.ndarray, outset: float = 0.0
) -> np.ndarray:
    """How much of every pixel an object covers, eq. 1, its outline `outset` pixels further out.

    Shapes: shape (indices into SHAPES), x, y, r (M,) -> (M, 32, 32) float32.
    """
    pixels = np.arange(CANVAS, dtype=np.float32) + np.float32(0.5)
    covered = np.empty((len(shape), CANVAS, CANVAS), np.float32)
    for index, name in enumerate(SHAPES):
        rows = np.flatnonzero(shape == index)
        if not len(rows):
            continue
        dx = (pixels - x[rows, None]).astype(np.float32)[:, None, :]  # (m, 1, W)
        dy = (pixels - y[rows, None]).astype(np.float32)[:, :, None]  # (m, H, 1)
        radius = r[rows, None, None].astype(np.float32)
        distance = signed_distance(name, dx, dy, radius)  # (m, H, W)
        np.subtract(np.float32(0.5 + outset), distance, out=distance)
        covered[rows] = np.clip(distance, 0, 1, out=distance)  # eq. 1
    return covered


def draw(scenes: Sequence[Scene]) -> np.ndarray:
    """Pictures of the scenes; later objects lie over earlier ones.

    Shapes: N scenes -> (N, 32, 32, 3) uint8.
    """
    return draw_columns(to_columns(scenes))


def draw_one(scene: Scene) -> np.ndarray:
    """The picture of one scene, (32, 32, 3) uint8."""
    return draw([scene])[0]


def draw_columns(columns: Columns) -> np.ndarray:
    """Pictures of the scenes in `columns`, (n, 32, 32, 3) uint8."""
    n = len(columns.background)
    pictures = np.empty((n, CANVAS, CANVAS, 3), np.uint8)
    for start in range(0, n, _CHUNK):
        chunk = Columns(*(column[start : start + _CHUNK] for column in columns))
        pictures[start : start + _CHUNK] = _draw_chunk(chunk)
    return pictures


def _draw_chunk(columns: Columns) -> np.ndarray:
    n = len(columns.background)
    pair = columns.relation >= 0
    radius = RADII[columns.size] * np.where(pair, np.float32(1), ALONE)[:, None]
    layers = []
    for slot, rows in enumerate((np.arange(n), np.flatnonzero(pair))):
        attributes = (columns.shape, columns.x, columns.y, radius)
        covered = coverage(*(attribute[rows, slot] for attribute in attributes))
        layers.append((rows, covered, PALETTE[columns.colour[rows, slot]]))
    pictures = np.empty((n, CANVAS, CANVAS, 3), np.uint8)
    # Channel by channel: NumPy's inner loop then runs over a row of pixels, not over 3 numbers.
    for channel in range(3):
        plane = np.empty((n, CANVAS, CANVAS), np.float32)
        plane[:] = PALETTE[columns.background, channel][:, None, None]
        for rows, covered, colour in layers:
            below = plane[rows]
            plane[rows] = below + covered * (colour[:, channel, None, None] - below)  # eq. 2
        plane += np.float32(0.5)  # round to nearest, as the assignment truncates
        pictures[..., channel] = plane
    return pictures


# Captions ----------------------------------------------------------------------------------------


def caption(scene: Scene, with_size: bool = True, with_background: bool = True) -> str:
    """The caption of a scene.

    >>> ball = SceneObject("large", "red", "circle", 16.0, 16.0)
    >>> caption(Scene("white", (ball,)))
    'a large red circle on a white background'
    >>> caption(Scene("white", (ball,)), with_size=False, with_background=False)
    'a red circle'
    """
    phrases = [
        _phrase(thing.size if with_size else "", thing.colour, thing.shape)
        for thing in scene.objects
    ]
    text = phrases[0] if scene.relation is None else f"{phrases[0]} {scene.relation} {phrases[1]}"
    return f"{text} on a {scene.background} background" if with_background else text


def _phrase(size: str, colour: str, shape: str) -> str:
    return f"a {size} {colour} {shape}" if size else f"a {colour} {shape}"


def _captions(columns: Columns, with_size: np.ndarray, with_background: np.ndarray) -> list[str]:
    """Captions of all scenes; with_size (n, 2) says it for each object of its own."""
    sizes = np.where(with_size, columns.size, len(SIZES)).tolist()  # the last name is empty
    names = (*SIZES, "")
    texts = []
    for background, relation, size, colour, shape, tell in zip(
        columns.background.tolist(),
        columns.relation.tolist(),
        sizes,
        columns.colour.tolist(),
        columns.shape.tolist(),
        with_background.tolist(),
        strict=True,
    ):
        text = _phrase(names[size[0]], COLOUR_NAMES[colour[0]], SHAPES[shape[0]])
        if relation >= 0:
            second = _phrase(names[size[1]], COLOUR_NAMES[colour[1]], SHAPES[shape[1]])
            text = f"{text} {RELATIONS[relation]} {second}"
        texts.append(f"{text} on a {COLOUR_NAMES[background]} background" if tell else text)
    return texts


# Sampling ----------------------------------------------------------------------------------------


def sample_columns(
    n: int, rng: np.random.Generator, *, pairs: float = 0.5, held_out: HeldOut = "never"
) -> Columns:
    """n random scenes as columns; see `sample_batch` for the arguments."""
    if held_out not in ("never", "only", "any"):
        raise ValueError(f"scenes: got held_out = {held_out!r}, expected 'never', 'only' or 'any'")
    if not 0 <= pairs <= 1:
        raise ValueError(f"scenes: got pairs = {pairs}, expected a share between 0 and 1")
    pair = rng.random(n) < pairs
    relation = np.where(pair, rng.integers(len(RELATIONS), size=n), -1)
    # The order of eight random keys gives three colours that differ from one another.
    keys = rng.random((n, len(COLOUR_NAMES)))
    if held_out == "only":  # a colour that has a held-out shape comes first
        keys[np.arange(n), rng.choice(np.flatnonzero(_HELD_SHAPE >= 0), size=n)] = -1
    order = np.argsort(keys, axis=1)
    colour, background = order[:, :2], order[:, 2]
    shape = rng.integers(len(SHAPES), size=(n, 2))
    if held_out == "never":
        shape = _forbid(shape, colour, rng)
    if held_out == "only":
        shape[:, 0] = _HELD_SHAPE[colour[:, 0]]
        second = pair & (rng.random(n) < 0.5)  # in half of the pairs it is the second object
        colour[second], shape[second] = colour[second, ::-1], shape[second, ::-1]
    jitter = rng.uniform(-1, 1, (n, 2, 2))  # (n, object, xy)
    centre = np.where(
        pair[:, None, None],
        PAIR_CENTRES[relation] + PAIR_JITTER * jitter,
        ALONE_CENTRE + ALONE_JITTER * jitter,
    ).astype(np.float32)
    size = rng.integers(len(SIZES), size=(n, 2))
    return Columns(background, relation, size, colour, shape, centre[:, :, 0], centre[:, :, 1])


def _held_shape() -> np.ndarray:
    """For every colour the index of its held-out shape, or -1."""
    held = np.full(len(COLOUR_NAMES), -1)
    for colour, shape in HELD_OUT_PAIRS:
        held[COLOUR_NAMES.index(colour)] = SHAPES.index(shape)
    return held


_HELD_SHAPE = _held_shape()


def _forbid(shape: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move every held-out pair to one of the five other shapes, all equally likely."""
    step = rng.integers(1, len(SHAPES), size=shape.shape)
    return np.where(shape == _HELD_SHAPE[colour], (shape + step) % len(SHAPES), shape)


def sample_batch(
    n: int,
    rng: np.random.Generator,
    *,
    pairs: float = 0.5,
    held_out: HeldOut = "never",
    drop_size: float = 0.1,
    drop_background: float = 0.1,
) -> tuple[np.ndarray, list[str]]:
    """n random pictures (n, 32, 32, 3) uint8 and their captions.

    `pairs` is the share of scenes with two objects. `held_out` says what becomes of HELD_OUT_PAIRS:
    'never' drawn (training), 'only' scenes with at least one of them (the test of composition), or
    'any' scene. The size of an object is left out of a caption with probability `drop_size`, for
    each object of its own, and the background with probability `drop_background`.

    Raises: ValueError for a share outside of 0..1 or an unknown `held_out`.
    Cost: about 20 microseconds a scene; see test_twenty_thousand_scenes_take_a_second.
    """
    for name, share in (("drop_size", drop_size), ("drop_background", drop_background)):
        if not 0 <= share <= 1:
            raise ValueError(f"scenes: got {name} = {share}, expected a share between 0 and 1")
    columns = sample_columns(n, rng, pairs=pairs, held_out=held_out)
    with_size = rng.random((n, 2)) >= drop_size
    with_background = rng.random(n) >= drop_background
    return draw_columns(columns), _captions(columns, with_size, with_background)


def sample_scenes(
    n: int, rng: np.random.Generator, *, pairs: float = 0.5, held_out: HeldOut = "never"
) -> list[Scene]:
    """n random scenes; see `sample_batch` for the arguments."""
    return to_scenes(sample_columns(n, rng, pairs=pairs, held_out=held_out))


# From one form to the other ---------------------------------------------------------------------


def to_scenes(columns: Columns) -> list[Scene]:
    """Columns as a list of scenes."""
    scenes = []
    for background, relation, *attributes in zip(*(c.tolist() for c in columns), strict=True):
        objects = [
            SceneObject(SIZES[size], COLOUR_NAMES[colour], SHAPES[shape], x, y)
            for size, colour, shape, x, y in zip(*attributes, strict=True)
        ]
        if relation < 0:
            scenes.append(Scene(COLOUR_NAMES[background], (objects[0],)))
        else:
            pair = (objects[0], objects[1])
            scenes.append(Scene(COLOUR_NAMES[background], pair, RELATIONS[relation]))
    return scenes


def to_columns(scenes: Sequence[Scene]) -> Columns:
    """A list of scenes as columns.

    Raises: ValueError for an unknown name or a wrong number of objects.
    """
    background, relation, attributes = [], [], []
    for scene in scenes:
        expected = 1 if scene.relation is None else 2
        if len(scene.objects) != expected:
            raise ValueError(
                f"scenes: a scene with relation {scene.relation!r} has {len(scene.objects)} "
                f"objects, expected {expected}"
            )
        background.append(_index(COLOUR_NAMES, scene.background, "background"))
        relation.append(-1 if expected == 1 else _index(RELATIONS, scene.relation, "relation"))
        objects = [scene.objects[0], scene.objects[-1]]
        attributes.append([_attributes(thing) for thing in objects])
    table = np.array(attributes, np.float32).reshape(len(scenes), 2, 5)
    size, colour, shape = (table[:, :, k].astype(np.int64) for k in range(3))
    x, y = table[:, :, 3], table[:, :, 4]
    return Columns(np.array(background, int), np.array(relation, int), size, colour, shape, x, y)


def _attributes(thing: SceneObject) -> tuple[int, int, int, float, float]:
    size = _index(SIZES, thing.size, "size")
    colour = _index(COLOUR_NAMES, thing.colour, "colour")
    return size, colour, _index(SHAPES, thing.shape, "shape"), thing.x, thing.y


def _index(names: Sequence[str], name: str | None, what: str) -> int:
    if name not in names:
        raise ValueError(f"scenes: got {what} {name!r}, expected one of {', '.join(names)}")
    return names.index(name)
