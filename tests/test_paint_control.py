"""Control: a painter that does exactly what it is asked, and one that does not listen."""

import numpy as np
import pytest
from tiny import save_tiny

from minigen.cli import main
from minigen.data.scenes import sample_batch
from minigen.paint.control import control_report

pytest.importorskip("skimage")


class Obedient:
    """Paints asked colours and silhouettes; it leaves of a picture what its strength says."""

    def paint(self, prompts, *, rng, conditions):
        images = rng.integers(0, 256, (len(prompts), 32, 32, 3)).astype(np.uint8)
        if conditions.palette is not None and conditions.palette_strength == 1:
            images = conditions.palette[rng.integers(3, size=images.shape[:3])]
        if conditions.mask is not None:
            other = 255 - conditions.init  # of any ground, far from it
            return np.where(conditions.mask[None, :, :, None], other[None], conditions.init[None])
        if conditions.init is not None and conditions.strength == 0:
            images = np.repeat(conditions.init[None], len(prompts), axis=0)
        return images.repeat(1, axis=0)


class Deaf:
    """Paints scenes of its own."""

    def paint(self, prompts, *, rng, conditions):
        return sample_batch(len(prompts), rng)[0]


def test_who_obeys_has_no_distance_and_full_overlap():
    numbers = control_report(Obedient(), 16, np.random.default_rng(0)).numbers
    assert float(numbers["palette, strength 1: CIELAB distance"]) == 0
    assert float(numbers["palette, strength 0: CIELAB distance"]) > 10
    assert float(numbers["mask: intersection over union"]) > 0.99
    assert float(numbers["init, strength 0: moved, of 255"]) == 0


def test_who_does_not_listen_is_told_apart():
    numbers = control_report(Deaf(), 16, np.random.default_rng(0)).numbers
    one, other = (numbers[f"palette, strength {s}: CIELAB distance"] for s in (0, 1))
    assert float(one) == float(other) > 5
    assert float(numbers["mask: intersection over union"]) < 0.7


def test_the_command_measures_a_painter_and_keeps_its_sheets(tmp_path, capsys):
    model = save_tiny(tmp_path / "tiny.safetensors")
    assert main(["eval", str(model), "--control", "-n", "8"]) == 0
    said = capsys.readouterr().out
    assert "mask: intersection over union" in said
    assert main(["eval", str(model), "--control", "-n", "7"]) == 2
    assert "n is 7, expected at least 8" in capsys.readouterr().err


def test_a_model_that_paints_no_prompts_is_refused(capsys):
    assert main(["eval", "mnist_classifier", "--control", "-n", "8"]) == 2
    assert "is no text-to-image model" in capsys.readouterr().err
