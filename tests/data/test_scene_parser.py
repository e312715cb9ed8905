"""The parser: right on true scenes, and strict towards everything else."""

import time

import numpy as np
import pytest

from minigen.data import scenes
from minigen.data.scene_judge import canonical
from minigen.data.scene_parser import judge_many, parse, parse_many
from minigen.data.scenes import COLOURS, SHAPES, Scene, SceneObject

PALETTE = np.array(list(COLOURS.values()), float)


def blurred(images, sigma):
    """Convolved with a Gaussian of width sigma pixels."""
    weights = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(images.astype(float), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    rows = sum(w * padded[:, k : k + 32] for k, w in enumerate(weights))
    return rounded(sum(w * rows[:, :, k : k + 32] for k, w in enumerate(weights)))


def noisy(images, sigma):
    return rounded(images + np.random.default_rng(1).normal(0, sigma, images.shape))


def rounded(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


SEEN_THROUGH = {
    "clean": lambda images: images,
    "noise of sigma 8": lambda images: noisy(images, 8),
    "blur of sigma 0.5": lambda images: blurred(images, 0.5),
    "blur of 0.5 and noise of 5": lambda images: noisy(blurred(images, 0.5), 5),
}


def content(scene):
    """What is said about a scene, without the places."""
    if scene is None:
        return None
    things = [(thing.size, thing.colour, thing.shape) for thing in scene.objects]
    return scene.background, scene.relation, things


def share_read(n, rng, look, nearest=False):
    true = scenes.sample_scenes(n, rng, held_out="any")
    read = parse_many(look(scenes.draw(true)), nearest=nearest)
    right = [content(a) == content(canonical(b)) for a, b in zip(read, true, strict=True)]
    return np.mean(right), sum(a is not None for a in read) - sum(right)


@pytest.mark.parametrize("look", SEEN_THROUGH.values(), ids=SEEN_THROUGH)
def test_the_parser_reads_true_scenes(look, rng):
    right, misread = share_read(400, rng, look)
    assert right >= 0.995
    assert misread == 0


@pytest.mark.slow
@pytest.mark.parametrize("look", SEEN_THROUGH.values(), ids=SEEN_THROUGH)
def test_the_parser_reads_ten_thousand_true_scenes(look, rng):
    right, misread = share_read(10_000, rng, look)
    assert right >= 0.995
    assert misread == 0


@pytest.mark.parametrize("look", SEEN_THROUGH.values(), ids=SEEN_THROUGH)
def test_the_nearest_scene_to_a_true_scene_is_that_scene(look, rng):
    right, misread = share_read(400, rng, look, nearest=True)
    assert right >= 0.995
    assert right + misread / 400 == 1  # always a scene


@pytest.mark.slow
@pytest.mark.parametrize("look", SEEN_THROUGH.values(), ids=SEEN_THROUGH)
def test_the_nearest_scene_to_ten_thousand_true_scenes(look, rng):
    assert share_read(10_000, rng, look, nearest=True)[0] >= 0.995


@pytest.mark.parametrize("nearest", [False, True], ids=["exactly", "nearest"])
@pytest.mark.parametrize("look", ["clean", "noise of sigma 8"])
def test_a_wrong_caption_is_never_accepted(look, nearest, rng):
    many = scenes.sample_scenes(1000, rng, held_out="any")
    shuffled = [many[k] for k in rng.permutation(len(many))]
    judgements = judge_many(
        SEEN_THROUGH[look](scenes.draw(many)),
        [scenes.caption(s) for s in shuffled],
        nearest=nearest,
    )
    for scene, other, judgement in zip(many, shuffled, judgements, strict=True):
        if content(canonical(scene)) != content(canonical(other)):
            assert not judgement.all_right


@pytest.mark.parametrize(("kind", "worst"), [("alone", 0.05), ("pairs", 0.3)])
def test_places_are_read_to_a_fraction_of_a_pixel(kind, worst, rng):
    true = scenes.sample_scenes(200, rng, pairs=0 if kind == "alone" else 1)
    for read, scene in zip(parse_many(scenes.draw(true)), true, strict=True):
        for a, b in zip(read.objects, canonical(scene).objects, strict=True):
            assert max(abs(a.x - b.x), abs(a.y - b.y)) < worst


def test_a_picture_is_read_alike_alone_and_among_others(rng):
    images, _ = scenes.sample_batch(20, rng)
    assert [content(parse(image)) for image in images] == [content(s) for s in parse_many(images)]


# What is no scene ---------------------------------------------------------------------------------


def canvases(n, rng):
    """n scenes, their pictures as floats, and the coverage of their first objects."""
    many = scenes.sample_scenes(n, rng, held_out="any")
    columns = scenes.to_columns(many)
    scale = np.where(columns.relation < 0, scenes.ALONE, 1)
    r = scenes.RADII[columns.size[:, 0]] * scale
    covered = scenes.coverage(columns.shape[:, 0], columns.x[:, 0], columns.y[:, 0], r)
    return columns, scenes.draw(many).astype(float), covered


def count_read(images):
    return sum(scene is not None for scene in parse_many(rounded(images)))


@pytest.mark.parametrize("axis", ["left", "upper"])
def test_half_an_object_is_not_read(axis, rng):
    columns, pictures, covered = canvases(200, rng)
    at = np.arange(32) + 0.5
    if axis == "left":
        half = at[None, None, :] < columns.x[:, 0, None, None]
    else:
        half = at[None, :, None] < columns.y[:, 0, None, None]
    background = PALETTE[columns.background][:, None, None]
    erased = np.where(((covered > 0) & half)[..., None], background, pictures)
    assert count_read(erased) <= 1  # half of a small diamond may pass as a triangle


@pytest.mark.parametrize("place", [(1, 1), (14, 1), (28, 28), (1, 14)])
def test_an_extra_blob_is_not_overlooked(place, rng):
    columns, pictures, _ = canvases(200, rng)
    row, column = place
    window = pictures[:, row : row + 3, column : column + 3]
    free = np.all(window == PALETTE[columns.background][:, None, None], axis=(1, 2, 3))
    window[:] = PALETTE[(columns.background + 1) % 8][:, None, None]
    assert free.sum() > 30
    assert count_read(pictures[free]) == 0


def test_a_third_object_is_not_overlooked(rng):
    columns, pictures, _ = canvases(200, rng)
    place = np.full(len(pictures), 26.0)
    third = scenes.coverage(columns.shape[:, 1], place, place, np.full(len(pictures), 4.2))
    colour = PALETTE[(columns.background + 3) % 8][:, None, None]
    assert count_read(pictures + third[..., None] * (colour - pictures)) == 0


@pytest.mark.parametrize(
    ("one", "other"), [("red", "orange"), ("blue", "purple"), ("orange", "yellow")]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_colour_between_two_colours_is_not_read(one, other, shape):
    between = (np.array(COLOURS[one]) + np.array(COLOURS[other])) / 2
    scene = Scene("white", (SceneObject("large", "black", shape, 15.2, 16.7),))
    covered = (245 - scenes.draw_one(scene).astype(float)[..., :1]) / 215
    assert count_read((245 + covered * (between - 245))[None]) == 0  # the object
    assert count_read((between + covered * (30 - between))[None]) == 0  # the background


def test_a_size_between_the_sizes_is_not_read(rng):
    shape = np.arange(6)
    middle = np.full(6, 16.0)
    covered = scenes.coverage(shape, middle, middle, np.full(6, 1.25 * np.sqrt(4.2 * 6.8)))
    assert count_read(245 - 215 * covered[..., None] * np.ones(3)) == 0


@pytest.mark.parametrize(("one", "other"), [("circle", "diamond"), ("circle", "square")])
def test_a_shape_between_two_shapes_is_not_read(one, other):
    at = np.arange(32) + 0.5 - 16
    x, y, r = at[None, :], at[:, None], 8.5
    distances = [scenes.signed_distance(shape, x, y, r) for shape in (one, other)]
    covered = np.clip(0.5 - sum(distances) / 2, 0, 1)
    assert count_read((245 - 215 * covered[..., None] * np.ones(3))[None]) == 0


def wobbling(amplitude, lobes=4):
    """Large black shapes on white, in the order of SHAPES, whose outlines wobble by pixels."""
    at = np.arange(32) + 0.5 - 16
    angle = np.arctan2(at[:, None], at[None, :])
    wobble = amplitude * np.sqrt(2) * np.sin(lobes * angle + 1)
    distances = [scenes.signed_distance(shape, at[None, :], at[:, None], 8.5) for shape in SHAPES]
    covered = np.clip(0.5 - np.stack(distances) - wobble, 0, 1)
    return 245 - 215 * covered[..., None] * np.ones(3)


@pytest.mark.parametrize("amplitude", [0.6, 1.0])
def test_a_wobbling_outline_is_not_read(amplitude):
    assert count_read(wobbling(amplitude)) == 0


@pytest.mark.parametrize("amplitude", [0.6, 1.0])
def test_a_wobbling_outline_is_named_all_the_same(amplitude):
    named = parse_many(rounded(wobbling(amplitude, lobes=7)), nearest=True)
    expected = [("white", None, [("large", "black", shape)]) for shape in SHAPES]
    assert [content(scene) for scene in named] == expected


def test_nothing_is_named_in_an_empty_picture():
    assert parse(np.full((32, 32, 3), 245, np.uint8), nearest=True) is None


def no_scenes():
    rng = np.random.default_rng(2)
    yield "black", np.zeros((32, 32, 3))
    yield "white", np.full((32, 32, 3), 245)
    yield "noise", rng.integers(0, 256, (32, 32, 3))
    yield "blocks", np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1)))
    yield "gradient", np.arange(32)[:, None, None] * 8 * np.ones((32, 32, 3))
    yield "stripes", (np.arange(32)[:, None, None] % 8 < 4) * 255 * np.ones((32, 32, 3))


@pytest.mark.parametrize("picture", dict(no_scenes()).values(), ids=dict(no_scenes()))
def test_what_is_no_scene_is_not_read(picture):
    assert parse(rounded(picture)) is None


@pytest.mark.parametrize(
    "images", [np.zeros((2, 32, 32, 3)), np.zeros((2, 16, 32, 3), np.uint8)], ids=["float", "size"]
)
def test_arrays_that_are_no_pictures_are_refused(images):
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        parse_many(images)


def test_two_hundred_pictures_are_read_in_a_second(rng):
    images, _ = scenes.sample_batch(128, rng)
    parse_many(images)
    start = time.process_time()
    parse_many(images)
    assert 128 / (time.process_time() - start) > 200
