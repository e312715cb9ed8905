"""Preparing a folder: what is kept, what is dropped, and that it can be stopped anywhere."""

import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from minigen.cli import main
from minigen.data.folder import folder
from minigen.data.pixels import load_image, read_metadata
from minigen.data.prepare import Settings, pipeline, prepare, summary, write_report


def drawing(seed, size=80):
    """A smooth picture of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    """Four good pictures, a copy, a broken, a truncated and a tiny one, and a text."""
    root = tmp_path / "photos"
    (root / "still life").mkdir(parents=True)
    drawing(1).save(root / "red_apple-02.png")
    drawing(2).save(root / "IMG_0001.bmp")
    drawing(3).save(root / "still life" / "0001.png")
    drawing(4).save(root / "boat.jpg", quality=95)
    (root / "boat.txt").write_text("a boat at sea\n", encoding="utf-8")
    drawing(1).resize((60, 60)).save(root / "copy.jpg", quality=60)
    (root / "broken.png").write_bytes(b"no picture at all")
    whole = (root / "red_apple-02.png").read_bytes()
    (root / "truncated.png").write_bytes(whole[: len(whole) // 2])
    drawing(5, size=9).save(root / "tiny.png")
    return root


def files(out):
    """Every file of a folder, with its content; the report apart."""
    found = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    return {
        name: path.read_bytes()
        for name, path in sorted(found.items())
        if name not in ("report.html", ".prepare/examined.json")
    }


def outcome(pictures):
    return {picture.name: picture.reason for picture in pictures}


SMALL = Settings(size=32)
KEPT = ["IMG_0001", "boat", "red_apple-02", "still life/0001"]


def test_good_pictures_are_kept_and_bad_ones_named(photos, tmp_path):
    found = outcome(prepare(photos, tmp_path / "out", SMALL))
    assert sorted(name for name, reason in found.items() if not reason) == [
        "IMG_0001.bmp", "boat.jpg", "red_apple-02.png", "still life/0001.png",
    ]  # fmt: skip
    assert found["copy.jpg"] == "a copy of red_apple-02.png"
    assert "not a picture" in found["broken.png"]
    assert "cannot be used" in found["truncated.png"]
    assert found["tiny.png"] == "too small: 9 x 9, expected at least 16 a side"


def test_what_comes_out_is_read_by_folder(photos, tmp_path):
    prepare(photos, tmp_path / "out", SMALL)
    found = folder(tmp_path / "out", 32)
    names = [path.relative_to(tmp_path / "out").with_suffix("").as_posix() for path in found.paths]
    assert names == KEPT
    assert found.captions == ["", "a boat at sea", "red apple", "still life"]
    assert abs(found.images[1].astype(int) - drawing(4).resize((32, 32))).mean() < 4


def test_the_originals_are_not_touched(photos, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.rglob("*.*")}
    prepare(photos, tmp_path / "out", Settings(size=32, augment=2, normalise=True))
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.rglob("*.*")}
    assert after == before


def test_variants_stand_beside_their_picture_with_its_caption(photos, tmp_path):
    prepare(photos, tmp_path / "out", Settings(size=32, augment=2))
    names = files(tmp_path / "out")
    assert {"boat.png", "boat.1.png", "boat.2.png"} <= set(names)
    assert names["boat.2.txt"] == names["boat.txt"] == b"a boat at sea\n"
    assert len({names["boat.png"], names["boat.1.png"], names["boat.2.png"]}) == 3


def stop_after(calls, error, monkeypatch):
    """Writing fails at this call, as with Ctrl-C or a full disk."""
    write, count = pipeline.write_atomically, [0]

    def stopping(path, content):
        count[0] += 1
        if count[0] > calls:
            raise error
        write(path, content)

    monkeypatch.setattr(pipeline, "write_atomically", stopping)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FULL], ids=["ctrl-c", "full disk"])
@pytest.mark.parametrize("calls", [0, 1, 2, 5, 9])
def test_stopped_anywhere_it_goes_on_to_the_same_end(calls, error, photos, tmp_path, monkeypatch):
    settings = Settings(size=32, augment=1)
    prepare(photos, tmp_path / "straight", settings)
    with monkeypatch.context() as patch:
        stop_after(calls, error, patch)
        with pytest.raises(type(error)):
            prepare(photos, tmp_path / "out", settings)
    for name, content in files(tmp_path / "out").items():
        assert content == files(tmp_path / "straight")[name]  # nothing half, nothing else
    prepare(photos, tmp_path / "out", settings)
    assert files(tmp_path / "out") == files(tmp_path / "straight")


def test_what_is_there_is_not_made_again(photos, tmp_path, monkeypatch):
    prepare(photos, tmp_path / "out", SMALL)
    monkeypatch.setattr(pipeline, "decode", lambda *_: pytest.fail("decoded again"))
    prepare(photos, tmp_path / "out", SMALL)


def test_what_a_kill_left_is_removed(photos, tmp_path):
    prepare(photos, tmp_path / "out", SMALL)
    (tmp_path / "out" / ".boat.png.0a1b2c3d.tmp").write_bytes(b"half")
    (tmp_path / "out" / ".prepare" / "examined.json").write_bytes(b'{"half')
    prepare(photos, tmp_path / "out", SMALL)
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_other_settings_and_other_originals_are_noticed(photos, tmp_path):
    prepare(photos, tmp_path / "out", Settings(size=32, augment=1))
    (photos / "boat.jpg").unlink()
    drawing(9).save(photos / "red_apple-02.png")
    prepare(photos, tmp_path / "out", Settings(size=16, crop="pad"))
    names = files(tmp_path / "out")
    assert "boat.png" not in names
    assert "boat.txt" not in names
    assert not [name for name in names if ".1." in name]
    for name in ("red_apple-02.png", "copy.png"):  # which is no copy any more
        assert load_image(tmp_path / "out" / name).shape == (16, 16, 3)
    assert (
        abs(load_image(tmp_path / "out" / "red_apple-02.png") - drawing(9).resize((16, 16))).min()
        == 0
    )


def test_names_that_meet_are_told_apart(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for k, name in enumerate(["a.png", "a.bmp", "A.tif", "a.1.png"]):
        drawing(k).save(root / name)
    prepare(root, tmp_path / "out", Settings(size=32, augment=1))
    pictures = [path.stem.casefold() for path in (tmp_path / "out").glob("*.png")]
    assert len(set(pictures)) == len(pictures) == 8


def test_copies_can_be_kept(photos, tmp_path):
    found = outcome(prepare(photos, tmp_path / "out", Settings(size=32, copies=None)))
    assert found["copy.jpg"] == ""


def test_the_report_shows_pictures_and_reasons(photos, tmp_path):
    pictures = prepare(photos, tmp_path / "out", SMALL)
    text = write_report(pictures, tmp_path / "out", SMALL).read_text("utf-8")
    assert text.count("data:image/png;base64,") == 8
    assert "a copy of red_apple-02.png" in text
    assert "still life/0001.png" in text
    assert summary(pictures) == (
        "4 of 8 pictures kept, 4 dropped (broken 2, copies 1, too small 1)"
    )


def test_a_strange_name_is_only_text_in_the_report(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    drawing(1).save(root / "<b>&.png")
    report = write_report(prepare(root, tmp_path / "out", SMALL), tmp_path / "out", SMALL)
    assert "<b>" not in report.read_text("utf-8")


def test_every_new_picture_says_what_was_done(photos, tmp_path):
    Image.new("CMYK", (40, 40), (10, 200, 30, 0)).save(photos / "print.jpg")
    prepare(photos, tmp_path / "out", SMALL)
    notes = json.loads(read_metadata(tmp_path / "out" / "print.png")["minigen notes"])
    assert notes == ["CMYK, converted without a colour profile"]


@pytest.mark.parametrize("out", ["photos", "photos/out", "."])
def test_folders_that_overlap_are_refused(out, photos, tmp_path):
    with pytest.raises(ValueError, match="overlap"):
        prepare(photos, tmp_path / out, SMALL)


def test_a_folder_of_other_origin_is_not_written_into(photos, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(ValueError, match="files of other origin"):
        prepare(photos, tmp_path / "mine", SMALL)


@pytest.mark.parametrize(
    "settings",
    [{"size": 0}, {"crop": "middle"}, {"augment": -1}, {"kinds": ("turn",)}, {"captions": "no"}],
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match="prepare: got"):
        Settings(**settings)


def test_without_the_extra_one_line_says_what_to_do(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "minigen\[data\]"'):
        prepare(photos, tmp_path / "out", Settings(denoise=True))


# The command -------------------------------------------------------------------------------------


def test_the_command_says_what_became_of_them(photos, tmp_path, capsys):
    words = ["data", "prepare", str(photos), "--out", str(tmp_path / "out"), "--size", "32"]
    assert main([*words, "--kinds", "flip", "colour", "--copies", "none"]) == 0
    said = capsys.readouterr().out
    assert "5 of 8 pictures kept, 3 dropped" in said
    assert str(tmp_path / "out" / "report.html") in said


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (FULL, 1)])
def test_a_command_that_was_stopped_says_how_it_goes_on(
    error, code, photos, tmp_path, monkeypatch, capsys
):
    stop_after(1, error, monkeypatch)
    assert main(["data", "prepare", str(photos), "--out", str(tmp_path / "out")]) == code
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nothing", "--out", "x"], ["{photos}"], ["{photos}", "--out"]])
def test_a_wrong_command_ends_with_2(words, photos, capsys):
    assert main(["data", "prepare", *(word.format(photos=photos) for word in words)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
