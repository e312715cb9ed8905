"""VGG: what its layers see, weights of torchvision's layout, filters in balance; Grad-CAM."""

import time

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor, grad, no_grad
from minigen.data.textures import labelled
from minigen.models.features import vgg
from minigen.models.features.grad_cam import (
    activation_pictures,
    filter_pictures,
    grad_cam,
    overlay,
)
from minigen.models.features.vgg import VGG, VGGClassifier, VGGConfig
from minigen.optim import AdamW

SMALL = VGGConfig(channels=(4, 6, 8), convs=(1, 2, 1))


def double(model, rng):
    """In float64, no bias 0."""
    for weight in model.parameters():
        weight.data = weight.data + 0.1 * rng.standard_normal(weight.shape)
    return model


# ------------------------------------------------------------------------------------------ layers


def test_layers_have_the_names_and_sizes_of_the_paper(rng):
    model = VGG(SMALL, rng=rng)
    x = Tensor(rng.standard_normal((2, 12, 16, 3)).astype(np.float32))
    maps = model.layers(x, model.names)
    shapes = {name: m.shape for name, m in maps.items()}
    assert shapes == {
        "relu1_1": (2, 12, 16, 4),
        "relu2_1": (2, 6, 8, 6),
        "relu2_2": (2, 6, 8, 6),
        "relu3_1": (2, 3, 4, 8),
    }
    assert min(m.data.min() for m in maps.values()) == 0
    assert np.array_equal(model(x).data, maps["relu3_1"].data)


def test_layers_behind_the_last_are_not_computed(rng):
    model = VGG(SMALL, rng=rng)
    model.convs[2].weight.data[...] = np.nan
    assert set(model.layers(Tensor(np.zeros((1, 8, 8, 3), np.float32)), ["relu2_1"])) == {"relu2_1"}


@pytest.mark.parametrize("name", ["relu1_1", "relu2_1", "relu2_2", "relu3_1"])
def test_the_receptive_field_is_how_far_a_gradient_reaches(name, rng):
    model = double(VGG(SMALL, rng=rng), rng)
    x = Tensor(rng.standard_normal((1, 64, 64, 3)), requires_grad=True)
    maps = model.layers(x, [name])[name]
    middle = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
    (g,) = grad((middle * middle).sum() + middle.sum(), [x])
    rows = np.flatnonzero(np.abs(g.data).sum(axis=(0, 2, 3)))
    assert rows[-1] - rows[0] + 1 == model.receptive_field(name)


def test_the_mean_and_deviation_are_those_of_pictures_from_0_to_1(rng):
    x = rng.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    config = VGGConfig((4,), (1,), vgg.IMAGENET_MEAN, vgg.IMAGENET_STD)
    model, plain = (VGG(c, rng=np.random.default_rng(0)) for c in (config, VGGConfig((4,), (1,))))
    normal = ((x + 1) / 2 - vgg.IMAGENET_MEAN) / vgg.IMAGENET_STD
    assert_close(model(Tensor(x)).data, plain(Tensor(normal.astype(np.float32))).data, terms=27)


# ------------------------------------------------------------------------------------------ balance


def test_balanced_filters_answer_by_1_on_average_and_votes_stay(rng):
    model = double(VGGClassifier(SMALL, 5, rng=rng), rng)
    x = rng.uniform(-1, 1, (6, 16, 16, 3))
    before = model(Tensor(x)).data
    vgg.balance(model, [x[:4], x[4:]])
    for maps in model.vgg.layers(Tensor(x), model.vgg.names).values():
        means = maps.data.mean(axis=(0, 1, 2))
        assert_close(means[means > 0], np.ones((means > 0).sum()), terms=1000)
    assert_close(model(Tensor(x)).data, before, terms=1000)


def test_a_filter_that_never_answers_stays_as_it_is(rng):
    model = VGGClassifier(SMALL, 5, rng=rng)
    model.vgg.convs[0].weight.data[..., 2] = 0
    model.vgg.convs[0].bias.data[2] = -1
    vgg.balance(model, [rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)])
    assert model.vgg.convs[0].bias.data[2] == -1


# -------------------------------------------------------------------------------------- torchvision


def torchvision(rng, channels=(4, 6), convs=(2, 1)):
    """Arrays of the names and shapes that a VGG of torchvision has, tiny."""
    arrays, place, ins = {}, 0, 3
    for outs, count in zip(channels, convs):
        for _ in range(count):
            arrays[f"features.{place}.weight"] = rng.standard_normal((outs, ins, 3, 3)) * 0.3
            arrays[f"features.{place}.bias"] = rng.standard_normal(outs) * 0.3
            place, ins = place + 2, outs
        place += 1
    arrays["classifier.0.weight"] = np.zeros((2, 2))
    return {name: a.astype(np.float32) for name, a in arrays.items()}


def by_hand(x, weight, bias):
    """A convolution in PyTorch's layout, (C, H, W) and (O, C, KH, KW), then relu."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))  # (C, H, W, 3, 3)
    y = np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]
    return np.maximum(y, 0)


def test_weights_of_torchvisions_layout_give_what_they_give_there(rng):
    arrays = torchvision(rng)
    model = vgg.from_torchvision(arrays)
    assert (model.config.channels, model.config.convs) == ((4, 6), (2, 1))
    x = rng.uniform(-1, 1, (1, 8, 6, 3)).astype(np.float32)
    normal = ((x[0] + 1) / 2 - vgg.IMAGENET_MEAN) / vgg.IMAGENET_STD
    h = normal.transpose(2, 0, 1)
    for place in (0, 2, 5):
        if place == 5:
            h = h.reshape(4, 4, 2, 3, 2).mean(axis=(2, 4))
        h = by_hand(h, arrays[f"features.{place}.weight"], arrays[f"features.{place}.bias"])
    expected = h.transpose(1, 2, 0)[None].astype(np.float32)
    assert_close(model(Tensor(x)).data, expected, terms=1000)


def test_the_blocks_of_vgg_19_are_told_by_its_names():
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    arrays = {f"features.{p}.weight": np.zeros((2, 3 if p == 0 else 2, 3, 3)) for p in places}
    arrays |= {f"features.{p}.bias": np.zeros(2) for p in places}
    model = vgg.from_torchvision(arrays)
    assert model.config.convs == (2, 2, 4, 4, 4)
    assert {"relu1_1", "relu4_2", "relu5_1", "relu5_4"} <= set(model.names)
    assert model.receptive_field("relu5_1") == 156


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda rng: {"conv.weight": np.zeros(3)}, "expected arrays called features.0.weight"),
        (
            lambda rng: {n: a for n, a in torchvision(rng).items() if n != "features.2.bias"},
            "vgg: features.2.bias is missing",
        ),
        (
            lambda rng: torchvision(rng) | {"features.2.weight": np.zeros((4, 5, 3, 3))},
            r"features.2 has a weight \(4, 5, 3, 3\) and a bias \(4,\), expected \(O, 4, 3, 3\)",
        ),
        (
            lambda rng: torchvision(rng) | {"features.9.weight": np.zeros((4, 6, 3, 3))},
            "after features.5 comes features.9, expected 7 or, behind a pooling, 8",
        ),
        (
            lambda rng: (
                torchvision(rng)
                | {"features.7.weight": np.zeros((9, 6, 3, 3)), "features.7.bias": np.zeros(9)}
            ),
            "the convolutions of one block differ",
        ),
    ],
)
def test_other_weights_are_refused_with_the_reason(arrays, message, rng):
    with pytest.raises(ValueError, match=message):
        vgg.from_torchvision(arrays(rng))


def test_unknown_layers_and_odd_sizes_are_refused(rng):
    model = VGG(SMALL, rng=rng)
    with pytest.raises(ValueError, match="no layer 'relu9_1'; relu1_1, relu2_1, relu2_2, relu3_1"):
        model.layers(Tensor(np.zeros((1, 8, 8, 3), np.float32)), ["relu9_1"])
    with pytest.raises(ValueError, match="do not fit"):
        VGGConfig(channels=(4, 8), convs=(1,))


# ----------------------------------------------------------------------------------------- Grad-CAM


def test_with_a_linear_vote_the_heat_is_the_class_activation_map(rng):
    model = VGGClassifier(SMALL, 5, rng=rng)
    maps = rng.random((2, 3, 4, 8)).astype(np.float32)
    labels = np.array([3, 1])
    by_hand = np.stack([m @ model.vote.weight.data[:, label] for m, label in zip(maps, labels)])
    by_hand = np.maximum(by_hand, 0)
    top = by_hand.max(axis=(1, 2), keepdims=True)
    assert_close(grad_cam(maps, model.head, labels), by_hand / np.where(top > 0, top, 1), terms=30)


def test_what_speaks_against_a_vote_is_dark():
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, 0, 0, 0], maps[0, 3, 3, 1] = 2, 5
    heat = grad_cam(maps, lambda h: h.mean(axis=(1, 2)) @ np.float32([[1], [-1]]), np.array([0]))
    assert heat[0, 0, 0] == 1
    assert heat.sum() == 1


def test_a_picture_is_bright_where_the_heat_is():
    images = np.full((1, 8, 8, 3), 200, np.uint8)
    heat = np.zeros((1, 2, 2), np.float32)
    heat[0, 0, 0] = 1
    shown = overlay(images, heat)
    assert shown[0, 0, 0, 0] == 200
    assert shown[0, 7, 7, 0] == 40


def test_filters_and_maps_are_drawn_one_by_one(rng):
    weight = rng.standard_normal((3, 3, 3, 5)).astype(np.float32)
    drawn = filter_pictures(weight)
    assert drawn.shape == (5, 3, 3, 3)
    place = np.unravel_index(np.abs(weight[..., 2]).argmax(), (3, 3, 3))
    assert drawn[2][place] in (0, 255)
    maps = activation_pictures(rng.random((4, 6, 7)).astype(np.float32))
    assert maps.shape == (7, 4, 6, 3)
    assert maps.min(axis=(1, 2, 3)).max() == 0
    assert maps.max(axis=(1, 2, 3)).min() == 255


# ----------------------------------------------------------------------------------------- learning


def test_what_is_in_eight_pictures_is_learned(rng):
    images, seen = labelled(8, 32, rng)
    x, start = images.astype(np.float32) / 127.5 - 1, time.monotonic()
    model = VGGClassifier(VGGConfig((16, 24, 32), (1, 1, 1)), seen.shape[1], rng=rng)
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(200):
        optimizer.zero_grad()
        vgg.loss(model, x, seen).backward()
        optimizer.step()
    with no_grad():
        assert vgg.loss(model, x, seen).item() < 0.05
    assert time.monotonic() - start < 20
