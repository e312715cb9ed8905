"""Reading a scene back from its pixels, and judging a picture by its caption.

The parser explains a picture: it finds the drawing that would give these pixels, and then looks at
what the drawing leaves unexplained. Five steps, for many pictures at once:

1. The background b is the median colour of the border.
2. The pixels that differ from it lie in one heap, in two side by side, or in two on top of each
   other: the ratio of their variances along x and y tells which.
3. With the colour c of an object, the amount of it in a pixel p is how far p lies on the way from
   b to c: `a = (p - b) . (c - b) / |c - b|^2`.
4. Every shape is fitted to `a` by least squares over centre and radius (Gauss-Newton). The shape
   with the smallest error is read, unless the picture lies half-way to the next best one.
5. The scene is drawn again with the fitted numbers. Where picture and drawing differ by more than
   noise, blur and a slightly wrong outline explain, there is something else.

It never guesses: what comes back explains every pixel, or is None. `judge` then compares it with a
caption.

Pictures in another style (`minigen.data.scene_styles`) are read in the same steps: the hatching is
taken off the background, the colour of an object is the one that most of its pixels have, and what
is fitted in step 4 is outline and inside together.

Two questions can be asked of a picture. Is it *exactly* this scene, to a third of a pixel along the
outlines? That is the parser as it stands. Which scene does it come *nearest* to, as one would name
a drawing by an unsteady hand? That is `nearest=True`: steps 1 to 4, which name a scene for all but
an empty picture. What is right by this reading has the right things in it; what is right by the
first is also well drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigen.data.scene_fit import KINDS, Fit, best_rows, first_guess, gauss_newton, nearest_of
from minigen.data.scene_judge import Judgement, compare
from minigen.data.scene_look import (
    BESIDE,
    COLOUR,
    FOREGROUND,
    SINGLE,
    STACKED,
    Ground,
    Objects,
    blurred,
    look,
    nearest_colour,
    norm,
    objects_of,
)
from minigen.data.scene_styles import PLAIN, Style
from minigen.data.scenes import (
    ALONE,
    ALONE_CENTRE,
    ALONE_JITTER,
    CANVAS,
    COLOUR_NAMES,
    PAIR_CENTRES,
    PAIR_JITTER,
    RADII,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
)

# Beside FOREGROUND and COLOUR of minigen/data/scene_look.py:
PALING = 0.2  # ... or, towards the background, this share of the contrast: blur pales thin things
SIZE = 0.15  # of the logarithm of the radius; small and large are 0.48 apart
PLACE = 2.5  # pixels beyond where scenes put an object
BETWEEN = 0.4  # of the way to the second best shape
UNEXPLAINED = 28.0  # blurred difference, away from the outlines
OUTLINE = 0.35  # blurred difference near an outline, as a share of the contrast
DISPLACEMENT = 0.35  # pixels by which the outlines are off on average
HATCHING = 0.75  # of the strength of the hatching, too little or too much
NOISE = 5.0  # the largest noise, as blurred difference, that is forgiven near outlines

_MIN_AREA = 12  # pixels; the smallest object has 39
_STEPS = {False: (4, 3), True: (4, 5)}  # of Gauss-Newton in two rounds; True with an outline
_CHUNK = 64  # pictures at once


def parse(image: np.ndarray, *, nearest: bool = False, style: Style = PLAIN) -> Scene | None:
    """The scene in a picture (32, 32, 3) uint8, or None if it is not exactly one of our scenes.

    With `nearest` it is the scene that the picture comes nearest to, however badly it is drawn, and
    None only for an empty picture.

    The relation of a pair is read as 'left of' or 'above', see `canonical`.

    Error: of 10,000 true scenes in the plain style it reads all, with noise of sigma 8 all but 2,
    blurred by 0.5 pixels all but 3, and none wrongly; see
    test_the_parser_reads_ten_thousand_true_scenes.
    Cost: 1.3 to 2 milliseconds a picture with `parse_many`.
    """
    return parse_many(np.asarray(image)[None], nearest=nearest, style=style)[0]


def parse_many(
    images: np.ndarray, *, nearest: bool = False, style: Style = PLAIN
) -> list[Scene | None]:
    """`parse` for (N, 32, 32, 3) uint8, many times faster than one by one."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != (CANVAS, CANVAS, 3):
        raise ValueError(
            f"parse: got {images.dtype} pictures of shape {images.shape[1:]}, "
            f"expected uint8 of shape ({CANVAS}, {CANVAS}, 3)"
        )
    chunks = [
        images[start : start + _CHUNK].astype(np.float32) for start in range(0, len(images), _CHUNK)
    ]
    return [scene for chunk in chunks for scene in _parse_chunk(chunk, nearest, style)]


def judge(
    image: np.ndarray, caption: str, *, nearest: bool = False, style: Style = PLAIN
) -> Judgement:
    """Whether a picture (32, 32, 3) uint8, read by `parse`, shows what its caption says.

    Raises: ValueError for a text that is not a caption of a scene.
    """
    return compare(parse(image, nearest=nearest, style=style), caption)


def judge_many(
    images: np.ndarray, captions: Sequence[str], *, nearest: bool = False, style: Style = PLAIN
) -> list[Judgement]:
    """`judge` for (N, 32, 32, 3) and N captions."""
    if len(images) != len(captions):
        raise ValueError(f"judge: got {len(images)} pictures and {len(captions)} captions")
    seen = parse_many(images, nearest=nearest, style=style)
    return [compare(scene, text) for scene, text in zip(seen, captions, strict=True)]


def _parse_chunk(pictures: np.ndarray, nearest: bool, style: Style) -> list[Scene | None]:
    ground = look(pictures, style)
    objects = objects_of(pictures, ground)
    fits, objects = _fit_shapes(objects, ground)
    best, clear = _choose(objects, fits)
    inner = best.coverage()
    outer = best.coverage(outset=style.outline) if style.outline else inner
    colour = _fit_colour(objects, ground, outer, inner)
    names, is_named = _name_colours(colour, ground.colour[objects.picture], style)
    sizes, is_size = _name_sizes(best.r, objects.layout)
    background, distance = nearest_colour(ground.colour, style)
    right = ground.foreground.sum((1, 2)) >= _MIN_AREA
    if not nearest:
        right &= _explained(pictures, ground, objects, outer, inner, colour) & (distance < COLOUR)
        right &= _hatched(ground, objects, outer)
        good = clear & is_named & is_size & _placed(objects, best)
        np.logical_and.at(right, objects.picture, good)
    found: list[list[SceneObject]] = [[] for _ in pictures]
    for picture, size, name, shape, x, y in zip(
        objects.picture, sizes, names, best.shape, best.x.tolist(), best.y.tolist(), strict=True
    ):
        thing = SceneObject(SIZES[size], COLOUR_NAMES[name], SHAPES[shape], x, y)
        found[picture].append(thing)
    relations = (None, "left of", "above")
    return [
        Scene(COLOUR_NAMES[k], tuple(things), relations[layout]) if good else None
        for k, things, layout, good in zip(background, found, ground.layout, right, strict=True)
    ]


# Step 4: shapes ----------------------------------------------------------------------------------


def _fit_shapes(objects: Objects, ground: Ground) -> tuple[Fit, Objects]:
    """All shapes fitted to all objects: fits (M * 6), objects with the regions that were used."""
    outlined = ground.style.outline > 0
    steps = _STEPS[outlined]
    each = np.repeat(np.arange(len(objects.picture)), KINDS)
    amount, region, ink = objects.amount[each], objects.region[each], objects.ink.rows(each)
    radii = _nominal_radii(objects.layout)[each].T  # (2, M * 6)
    seen = ground.foreground[objects.picture] * objects.region
    if outlined:  # whose area says little of their radius, and which must be met within a pixel
        fits = nearest_of([first_guess(seen, r) for r in radii], amount, region, ink)
    else:
        fits = first_guess(objects.amount[:, 0] * seen)
    fits = gauss_newton(amount, region, fits, ink, steps[0])
    # Once it is known about where the other object of a pair is, all pixels but its own may speak.
    paired = np.flatnonzero(objects.layout != SINGLE)
    if not len(paired):
        return fits, objects
    other = paired + 1 - 2 * objects.slot[paired]
    outer = fits.rows(best_rows(fits)[other]).coverage(grow=1.0, outset=ground.style.outline)
    free = objects.region.copy()
    free[paired] = outer == 0
    rows = (paired[:, None] * KINDS + np.arange(KINDS)).ravel()
    amount, region, ink = amount[rows], free[each[rows]], ink.rows(rows)
    again = fits.rows(rows)
    if outlined:
        candidates = [again, *(again._replace(r=r[rows]) for r in radii)]
        again = nearest_of(candidates, amount, region, ink)
    again = gauss_newton(amount, region, again, ink, steps[1])
    for column, values in zip(fits, again, strict=True):
        column[rows] = values
    return fits, objects._replace(region=free)


def _choose(objects: Objects, fits: Fit) -> tuple[Fit, np.ndarray]:
    """The best shapes, and whether each is clearly nearer than the second best."""
    best, second = fits.rows(best_rows(fits)), fits.rows(best_rows(fits, rank=1))
    draw = objects.ink.draw
    apart = ((draw(best) - draw(second)) ** 2 * objects.region[:, None]).sum((1, 2, 3))
    # On the straight line from best (0) to second (1) the picture is at:
    at = (1 - (second.error - best.error) / np.maximum(apart, 1e-6)) / 2
    return best, at < BETWEEN


# Step 5: what remains ----------------------------------------------------------------------------


def _fit_colour(
    objects: Objects, ground: Ground, outer: np.ndarray, inner: np.ndarray
) -> np.ndarray:
    """The colours (M, 3) with which the drawings come closest to the pictures."""
    background, style = ground.colour[objects.picture], ground.style
    weight = inner * objects.region
    total = np.einsum("mhw,mhwc->mc", weight, ground.difference[objects.picture])
    if style.outline:  # less what ink there is; inside there is none
        rim = (weight * (outer - inner)).sum((1, 2))[:, None]
        total -= rim * (style.ink - background)
    return background + total / np.maximum((weight**2).sum((1, 2)), 1)[:, None]


def _explained(
    pictures: np.ndarray,
    ground: Ground,
    objects: Objects,
    outer: np.ndarray,
    inner: np.ndarray,
    colour: np.ndarray,
) -> np.ndarray:
    """Whether the drawing leaves nothing of the picture unexplained, (n,) bool."""
    redrawn = [_redraw(ground, objects, outer, inner, colour, order) for order in ((0, 1), (1, 0))]
    remains = np.stack([norm(blurred(pictures - drawing)) for drawing in redrawn])
    remains = remains[remains.sum((2, 3)).argmin(0), np.arange(len(pictures))]  # (n, H, W)
    contrast = np.zeros_like(remains)  # near outlines, else 0
    ways = [(inner, colour - ground.colour[objects.picture])]
    if ground.style.outline:
        ways.append((outer, ground.style.ink - ground.colour[objects.picture]))
    for drawn, way in ways:
        soft = blurred(blurred(drawn))
        near = (soft > 0.001) & (soft < 0.999)
        np.maximum.at(contrast, objects.picture, near * norm(way)[:, None, None])
    flat = contrast == 0
    noise = (remains * flat).sum((1, 2)) / np.maximum(flat.sum((1, 2)), 1)
    forgiven = 2 * np.minimum(noise, NOISE)[:, None, None]
    outline = np.maximum(remains - forgiven, 0) / np.maximum(contrast, FOREGROUND) * ~flat
    steps = [abs(np.diff(inner, axis=axis)).sum((1, 2)) for axis in (1, 2)]
    length = np.bincount(objects.picture, np.hypot(*steps), minlength=len(pictures))
    return (
        ((remains * flat).max((1, 2)) < UNEXPLAINED)
        & (outline.max((1, 2)) < OUTLINE)
        & (outline.sum((1, 2)) < DISPLACEMENT * length)
    )


def _hatched(ground: Ground, objects: Objects, outer: np.ndarray) -> np.ndarray:
    """Whether the background has about as much hatching as it should, (n,) bool."""
    hatching = ground.style.hatching
    if not hatching.any():
        return np.ones(len(ground.colour), bool)
    free = np.ones(ground.foreground.shape, bool)  # of any object
    np.logical_and.at(free, objects.picture, outer == 0)
    seen = (ground.difference + ground.plain - ground.colour[:, None, None]).mean(3)
    strength = (seen * free * hatching).sum((1, 2)) / (free * hatching**2).sum((1, 2))
    return abs(strength - 1) < HATCHING


def _redraw(
    ground: Ground,
    objects: Objects,
    outer: np.ndarray,
    inner: np.ndarray,
    colour: np.ndarray,
    order: Sequence[int],
) -> np.ndarray:
    """The pictures as fitted, the objects of slot order[0] first."""
    canvas = ground.plain.copy()
    ink = np.broadcast_to(ground.style.ink, colour.shape)
    layers = [(outer, ink), (inner, colour)] if ground.style.outline else [(inner, colour)]
    for slot in order:
        rows = np.flatnonzero(objects.slot == slot)
        below = canvas[objects.picture[rows]]
        for covered, paint in layers:
            below = below + covered[rows, :, :, None] * (paint[rows, None, None] - below)
        canvas[objects.picture[rows]] = below
    return canvas


# From numbers to names ---------------------------------------------------------------------------


def _name_colours(
    colour: np.ndarray, background: np.ndarray, style: Style
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest colours of the palette, and whether they are near enough and no background."""
    index, _ = nearest_colour(colour, style)
    off = colour - style.palette[index]
    way = style.palette[index] - background
    contrast = norm(way)
    along = (off * way).sum(1) / np.maximum(contrast, 1)
    across = np.sqrt(np.maximum((off**2).sum(1) - along**2, 0))
    paler = -along < np.maximum(COLOUR, PALING * contrast)
    return index, paler & (along < COLOUR) & (across < COLOUR) & (contrast > FOREGROUND)


def _name_sizes(r: np.ndarray, layout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest sizes, and whether they are near enough."""
    off = abs(np.log(r[:, None] / _nominal_radii(layout)))
    return off.argmin(1), off.min(1) < SIZE


def _nominal_radii(layout: np.ndarray) -> np.ndarray:
    """(M, 2) of a small and a large object."""
    return RADII * np.where(layout == SINGLE, ALONE, np.float32(1))[:, None]


def _placed(objects: Objects, fit: Fit) -> np.ndarray:
    """Whether every object stands about where scenes put it."""
    nominal = np.full((3, 2, 2), ALONE_CENTRE, np.float32)  # (layout, slot, xy)
    nominal[BESIDE], nominal[STACKED] = PAIR_CENTRES[0], PAIR_CENTRES[2]
    off = abs(np.stack([fit.x, fit.y], axis=1) - nominal[objects.layout, objects.slot])
    jitter = np.where(objects.layout == SINGLE, ALONE_JITTER, PAIR_JITTER)
    return off.max(1) < jitter + PLACE
