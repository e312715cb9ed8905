"""Use of a codebook and of captions: each remark has a planted case, and a case without it."""

import numpy as np
import pytest

from minigen.metrics.codes import collapse, diagnose_codes, use_of_captions, use_of_codes


def test_codes_that_are_all_used_alike_need_no_remark(rng):
    numbers, remarks = use_of_codes(rng.permutation(512 * 20) % 512, 512)
    assert float(numbers["share of the codes in use"]) == 100
    assert float(numbers["perplexity of the codes"]) == pytest.approx(512)
    assert remarks == []


def test_a_collapsed_codebook_is_told(rng):
    codes = rng.integers(0, 4, (200, 8, 8))
    numbers, remarks = use_of_codes(codes, 512)
    assert float(numbers["perplexity of the codes"]) == pytest.approx(4, abs=0.01)
    assert remarks[0].startswith("the codebook has collapsed: its 512 codes are worth 4.0")
    assert remarks[1].startswith("99% of the codes are dead")


def test_few_pictures_are_no_sign_of_dead_codes(rng):
    codes = rng.integers(0, 512, (10, 8, 8))
    assert use_of_codes(codes, 512)[1] == []


def test_a_training_is_warned_after_its_beginning_and_only_of_a_collapse():
    diagnose = diagnose_codes(512, after=2)
    said = [diagnose({"perplexity": worth}, None) for worth in (1.0, 1.0, 1.0, 300.0)]
    assert said == [[], [], [collapse(1.0, 512)], []]
    assert diagnose({}, np.zeros((1, 8, 8, 3), np.uint8)) == []


def test_captions_that_tell_nothing_are_told(rng):
    own = rng.standard_normal(100)
    remarks = use_of_captions(own, own + 0.01 * rng.standard_normal(100), "nats")[1]
    assert remarks == ["the text is ignored: another's caption suits the pictures as well"]


def test_captions_that_tell_three_nats_are_measured_so(rng):
    own = 100 + rng.standard_normal(400)
    numbers, remarks = use_of_captions(own, own + 3 + rng.standard_normal(400), "nats")
    gain = numbers["more with another's caption"]
    assert gain.value == pytest.approx(3, abs=5 * gain.error)
    assert remarks == []
