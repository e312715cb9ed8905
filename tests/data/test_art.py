"""OpenMoji with captions: what is held out, what is said of a piece, and numbers without OpenMoji.

Made-up pieces stand in for the art; what needs the extra `art` is skipped without it."""

import importlib.util

import numpy as np
import pytest

from minigen.data import art as room
from minigen.data import openmoji as pieces_room
from minigen.data.art_keywords import keywords
from minigen.data.byte_pairs import BytePairs, fold
from minigen.data.captioned import captioned
from minigen.data.openmoji import OpenMoji, family, held_out, tones
from minigen.data.openmoji_groups import _groups

TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")
HANDS = [f"{code:X}" for code in (*range(0x1F442, 0x1F451), *range(0x1F90C, 0x1F920))]
TONED = [f"{hand}-{tone}" for hand in HANDS for tone in TONES]
HELD = ["1F443-1F3FB", "1F443-1F3FC", "1F446-1F3FD", "1F44E-1F3FD"]  # the first combinations
needs_art = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in pieces_room.NEEDS),
    reason='needs pip install "minigen[art]"',
)


def made_up():
    """A tiger face, an arrow, a nameless thing, hands with tones; each with colours of its own."""
    codes = ["1F42F", "27A1", "E040", *TONED]
    colour = np.random.default_rng(0).integers(0, 256, (len(codes), 32, 32, 3), dtype=np.uint8)
    names = ["tiger face", "right arrow", "", *(f"hand {code}" for code in TONED)]
    names_zh = ["虎脸", "向右箭头", "", *[""] * len(TONED)]
    aliases = ["tiger", "", "", *[""] * len(TONED)]
    found = [("animals-nature", "animal-mammal"), ("symbols", "arrow"), ("extras-openmoji", "")]
    found += [("people-body", "hands")] * len(TONED)
    groups, subgroups = map(list, zip(*found, strict=True))
    return OpenMoji(colour, colour[..., :1], codes, names, names_zh, groups, subgroups, aliases)


@pytest.fixture
def some_art(monkeypatch):
    monkeypatch.setattr(room, "openmoji", lambda size, split: made_up())
    for cached in (room._art, room._drawn_from):
        cached.cache_clear()
    yield
    for cached in (room._art, room._drawn_from):
        cached.cache_clear()


# What is held out --------------------------------------------------------------------------------


def test_a_held_out_combination_is_never_seen_and_its_parts_are():
    splits = {code: room.split_of(code) for code in TONED}
    held = [code for code, split in splits.items() if split == "combinations"]
    assert 5 < len(held) < 40  # of 170, about one in ten
    for code in held:
        others = [c for c in TONED if family(c) == family(code) and splits[c] == "train"]
        assert others  # the hand with another tone
        assert any(tones(c) == tones(code) for c in TONED if splits[c] == "train")


def test_a_piece_of_two_tones_is_held_out_for_one_of_them():
    pairs = [f"1F9D1-{a}-200D-1F91D-200D-1F9D1-{b}" for a in TONES for b in TONES]
    one = {tones(c)[0]: room.split_of(c) for c in pairs if len(tones(c)) == 1}
    for code in pairs:
        held = any(one[tone] == "combinations" for tone in tones(code))
        assert (room.split_of(code) == "combinations") == held


def test_gender_and_direction_do_not_make_another_combination():
    for tone in TONES:
        codes = [f"{who}-{tone}-200D-1F680" for who in ("1F468", "1F469", "1F9D1")]
        assert len({room.split_of(code) for code in codes}) == 1


def test_the_splits_stay():
    held = [code for code in TONED if room.split_of(code) == "combinations"]
    assert held[:4] == HELD
    assert all(room.split_of(code) == "pieces" for code in TONED if held_out(code))


# Captions ----------------------------------------------------------------------------------------


def test_captions_are_true_of_their_pictures(some_art, rng):
    pictures, texts = room.draw(3000, rng)
    pieces = room.art()
    said = [{text for part in spoken for text in part.all()} for spoken in room.captions(pieces)]
    known = {picture.tobytes(): k for k, picture in enumerate(pieces.colour)}
    known |= {picture[:, ::-1].tobytes(): k for k, picture in enumerate(pieces.colour)}
    assert all(t in said[known[p.tobytes()]] for p, t in zip(pictures, texts, strict=True))
    assert {"tiger", "虎脸", "tiger face", "虎脸，动物", "tiger face, mammal"} <= set(texts)


def test_what_has_a_direction_is_not_mirrored(some_art, rng):
    pictures, texts = room.draw(300, rng)
    arrow, tiger = room.art().colour[1], room.art().colour[0]
    arrows = [p for p, text in zip(pictures, texts, strict=True) if "arrow" in text]
    tigers = [p for p, text in zip(pictures, texts, strict=True) if "tiger" in text]
    assert all(np.array_equal(p, arrow) for p in arrows)
    assert 0 < sum(np.array_equal(p, tiger) for p in tigers) < len(tigers)


def test_a_family_is_drawn_as_often_as_the_root_of_its_size(some_art):
    pieces, _, share, _ = room._drawn_from("train", 32)
    members = [family(code) for code in pieces.codes]
    size = members.count(members[-1])
    total = sum(p for f, p in zip(members, share, strict=True) if f == members[-1])
    assert total / share[0] == pytest.approx(size**0.5)


def test_some_named_have_names_that_differ(some_art, rng):
    pictures, names = room.some_named("train", 20, rng)
    pieces = room.art()
    assert len(set(names)) == len(names) == len(pictures) == 20
    for picture, name in zip(pictures, names, strict=True):
        assert np.array_equal(pieces.colour[pieces.names.index(name)], picture)


def test_what_has_no_name_is_left_out(some_art):
    assert "E040" not in room.art().codes
    assert all(all(part.name for part in spoken) for spoken in room.captions(room.art()))


def test_every_subgroup_has_keywords_in_two_languages():
    subgroups = {subgroup for _, subgroup in _groups().values()}
    for subgroup in subgroups:
        english, chinese = keywords(subgroup)
        assert all(word.isascii() for word in english)
        assert not any(word.isascii() for word in chinese)
        assert english
        assert chinese


# Without OpenMoji --------------------------------------------------------------------------------


def test_captions_are_encoded_without_openmoji(monkeypatch):
    monkeypatch.setattr(room, "openmoji", lambda *_: pytest.fail("not needed"))
    data = captioned("art", size=64)
    numbers = data.encode([*data.shown, "戴眼镜的女人", ""])
    assert numbers.shape == (len(data.shown) + 2, data.caption_length)
    assert data.words.decode(numbers)[-2:] == ["戴眼镜的女人", ""]
    assert len(data.words) == room.VOCABULARY
    assert (data.size, numbers.max() < len(data.words)) == (64, True)


def test_without_pictures_one_line_says_what_to_install(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(pieces_room, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(pieces_room, "_made_by", lambda: None)
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path))
    room._art.cache_clear()
    room._drawn_from.cache_clear()
    with pytest.raises(ValueError, match=r'pip install "minigen\[art\]"') as error:
        captioned("art").draw(1, rng)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: captioned("art", size=48), "got size = 48, art come at 32 or 64 pixels"),
        (lambda: captioned("scenes", size=64), "got size = 64, scenes come at 32 pixels"),
        (lambda: room.art("test"), "got split 'test', expected train, pieces, combinations, all"),
    ],
)
def test_what_is_not_there_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# The art itself ----------------------------------------------------------------------------------


@needs_art
def test_every_caption_of_the_training_set_fits_and_comes_back():
    data = captioned("art")
    said = [part for piece in room.captions(room.art()) for part in piece]
    texts = list({text for part in said for text in part.all()})
    assert max(len(data.words.tokens(text)) for text in texts) < data.caption_length
    assert data.words.decode(data.encode(texts)) == [fold(text) for text in texts]


@needs_art
def test_the_merges_that_ship_are_those_of_the_training_set():
    said = [part for piece in room.captions(room.art()) for part in piece]
    learnt = BytePairs.train([text for part in said for text in part.all()], 270)
    assert room.art_words().merges[:13] == learnt.merges


@needs_art
def test_the_splits_share_no_combination():
    seen, held = room.art("train"), room.art("combinations")
    pairs = {(family(c), tone) for c in seen.codes for tone in tones(c)}
    assert all(any((family(c), tone) not in pairs for tone in tones(c)) for c in held.codes)
    assert {family(c) for c in held.codes} <= {family(c) for c in seen.codes}
    assert not {family(c) for c in room.art("pieces").codes} & {family(c) for c in seen.codes}
    assert len(room.combination_names()) == len(held.codes) > 100
