"""The networks in PyTorch that the benchmark compares with compute what ours compute."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='PyTorch is missing: pip install "minigen[bench]"')

from minigen import Tensor, no_grad  # noqa: E402
from minigen.kernels.bench import torch_unet  # noqa: E402
from minigen.models.text_to_image.text_unet import TextUNet, TextUNetConfig  # noqa: E402
from minigen.nn import UNet, UNetConfig  # noqa: E402
from minigen.recipes import fashion_ddpm  # noqa: E402

LAYOUTS = (torch.contiguous_format, torch.channels_last)
TEXT = TextUNetConfig(
    vocabulary=9, caption_length=5, text_width=16, image_size=16, channels=(8, 16, 24),
    attention=(False, True, True), embedding_width=24, layout_size=4, layout_channels=3,
)  # fmt: skip


def model_of(name, rng):
    """A small network whose zeroed layers are not 0, and its inputs of 3 pictures."""
    if name == "text":
        model = TextUNet(TEXT, rng=rng)
        inputs = (3, 16, 16, 3), rng.random(3, np.float32), {"words": rng.integers(0, 9, (3, 5))}
    elif name == "garment":
        model = fashion_ddpm.GarmentUNet(fashion_ddpm.Config(channels=(8, 16)), rng=rng)
        inputs = (3, 28, 28, 1), rng.integers(1, 999, 3), {"labels": rng.integers(0, 11, 3)}
    else:
        config = UNetConfig(sample_size=8, channels=(8, 16), blocks=2, self_attention=(True, False),
                            cross_attention=(False, False), mlp_ratio=2, positions=False,
                            coordinates=False, embedding_width=24)  # fmt: skip
        model, inputs = UNet(config, rng=rng), ((3, 8, 8, 3), rng.random(3, np.float32), {})
    for p in model.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape, np.float32)
    shape, t, conditions = inputs
    return model, rng.standard_normal(shape, np.float32), t, conditions


def in_torch(twin, x, t, conditions, layout):
    pictures = torch.tensor(x.transpose(0, 3, 1, 2)).contiguous(memory_format=layout)
    return twin(pictures, torch.tensor(t), *(torch.tensor(c) for c in conditions.values()))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", ["text", "garment", "plain"])
def test_outputs_agree(name, layout):
    model, x, t, conditions = model_of(name, np.random.default_rng(0))
    with no_grad():
        expected = model(Tensor(x), t, **conditions).data
    twin = torch_unet.build(model).to(memory_format=layout)
    actual = in_torch(twin, x, t, conditions, layout).detach().numpy().transpose(0, 2, 3, 1)
    assert np.abs(expected).max() > 0.1
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["text", "garment", "plain"])
def test_gradients_agree(name):
    model, x, t, conditions = model_of(name, np.random.default_rng(1))
    (model(Tensor(x), t, **conditions) ** 2).mean().backward()
    twin = torch_unet.build(model)
    in_torch(twin, x, t, conditions, LAYOUTS[0]).pow(2).mean().backward()
    norm = np.sqrt(sum(float((p.grad.data**2).sum()) for p in model.parameters()))
    other = torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0).item()
    assert other == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_layout_stays_from_layer_to_layer(layout):
    model, x, t, conditions = model_of("text", np.random.default_rng(2))
    twin, seen = torch_unet.build(model).to(memory_format=layout), []
    for part in twin.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.GroupNorm):
            part.register_forward_hook(lambda part, x, y: seen.extend([x[0], y]))
    in_torch(twin, x, t, conditions, layout)
    _first, *others = seen  # the input is only made for the first convolution
    assert len(others) > 40
    assert all(a.is_contiguous(memory_format=layout) for a in others)


def test_other_networks_are_refused():
    with pytest.raises(TypeError, match="got a Linear"):
        torch_unet.build(torch.nn.Linear(2, 2))
