"""MNIST and Fashion-MNIST: where the files are looked for, and that only whole ones are used."""

import dataclasses
import gzip
import hashlib

import numpy as np
import pytest

from minigen.data import mnist as room

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


CONTENT = dict(zip(NAMES, (idx(IMAGES), idx(LABELS)), strict=True))


def put(folder, pack=gzip.compress, ending=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENT.items():
        (folder / f"{name}{ending}").write_bytes(pack(content))
    return folder


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    """Two empty mirrors of a tiny MNIST, an empty cache, and no MINIGEN_DATA."""
    folders = [tmp_path / "mirror1", tmp_path / "mirror2"]
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    addresses = tuple(f"{folder.as_uri()}/" for folder in folders)
    tiny = dataclasses.replace(room.MNIST, mirrors=addresses, sums=sums)
    monkeypatch.setattr(room, "MNIST", tiny)
    monkeypatch.setattr(room, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("MINIGEN_DATA", raising=False)
    return folders


def check_loaded():
    images, labels = room.mnist("train")
    assert images.shape == (5, 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.array_equal(images[..., 0], IMAGES)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, ".gz"), (bytes, "")])
def test_the_folder_of_the_environment_comes_first(pack, ending, mirrors, tmp_path, monkeypatch):
    put(tmp_path / "own" / "mnist", pack, ending)
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "own"))
    check_loaded()
    assert not (tmp_path / "cache").exists()


def test_a_download_is_kept_in_the_cache(mirrors, tmp_path):
    put(mirrors[0])
    check_loaded()
    for file in mirrors[0].iterdir():
        file.unlink()
    check_loaded()
    assert sorted(p.name for p in (tmp_path / "cache/mnist").iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[: len(packed) // 2],
        lambda packed: b"<html>not found</html>",
        lambda packed: gzip.compress(b"something else"),
    ],
    ids=["cut short", "another page", "another file"],
)
def test_the_next_mirror_is_tried_when_a_file_is_damaged(spoil, mirrors):
    put(mirrors[0], lambda content: spoil(gzip.compress(content)))
    put(mirrors[1])
    check_loaded()


def test_a_damaged_copy_in_the_cache_is_fetched_again(mirrors, tmp_path, capsys):
    put(tmp_path / "cache" / "mnist", lambda content: gzip.compress(content)[:-9])
    put(mirrors[0])
    check_loaded()
    assert "damaged" in capsys.readouterr().err
    check_loaded()
    assert capsys.readouterr().err == ""


def test_a_damaged_file_of_the_user_is_named(mirrors, tmp_path, monkeypatch):
    put(tmp_path / "own" / "mnist", lambda content: gzip.compress(content + b"!"))
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "own"))
    with pytest.raises(ValueError, match=r"own/mnist/train-images.*\.gz is damaged: SHA-256"):
        room.mnist()


def test_without_any_mirror_the_error_says_what_to_do(mirrors, tmp_path):
    with pytest.raises(OSError, match="could not get train-images-idx3-ubyte") as info:
        room.mnist()
    text = str(info.value)
    assert str(tmp_path / "cache" / "mnist") in text
    assert "MINIGEN_DATA=FOLDER" in text
    assert all(address in text for address in room.MNIST.mirrors)


def test_a_cache_that_cannot_be_written_does_not_stop_anybody(mirrors, tmp_path, capsys):
    put(mirrors[0])
    (tmp_path / "cache").write_bytes(b"a file where a folder should be")
    check_loaded()
    assert "not kept for the next time" in capsys.readouterr().err


def test_a_missing_data_folder_is_named(mirrors, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGEN_DATA", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="there is no folder MINIGEN_DATA="):
        room.mnist()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="got split 'valid', expected 'train' or 'test'"):
        room.fashion_mnist("valid")


@pytest.mark.parametrize("shape", [(0,), (7,), (2, 3), (2, 3, 4)])
def test_idx_files_are_read_in_any_shape(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert np.array_equal(room.read_idx(idx(array)), array)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x0d\x01", idx(LABELS)[:-1], idx(LABELS) + b"!", idx(IMAGES)[:9]]
)
def test_bad_idx_files_are_refused(content):
    with pytest.raises(room.DamagedError, match="it "):
        room.read_idx(content)


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_CACHE_HOME", "{0}/minigen"),
        ("linux", None, "{home}/.cache/minigen"),
        ("darwin", None, "{home}/Library/Caches/minigen"),
        ("win32", "LOCALAPPDATA", "{0}/minigen"),
    ],
)
def test_the_cache_is_where_the_system_wants_it(platform, variable, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(room.sys, "platform", platform)
    monkeypatch.setattr(room.Path, "home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert str(room.cache_folder()) == folder.format(tmp_path, home=tmp_path / "home")


@pytest.mark.parametrize("source", [room.MNIST, room.FASHION_MNIST])
def test_the_sums_are_sums(source):
    assert len(source.sums) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in source.sums.values())
    assert len(source.mirrors) == 2
