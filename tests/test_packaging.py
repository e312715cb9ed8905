"""What is installed is what is in the checkout, and `import minigen` is quick."""

import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from zipfile import ZipFile

import pytest

import minigen
import minigen.kernels

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def python(program, **settings):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_door_opens_on_the_kernels_of_the_checkout():
    assert [Path(path) for path in minigen.kernels.__path__] == [ROOT / "kernels"]


def test_the_kernels_folder_shadows_no_other_package():
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_a_folder_behind_the_door_is_imported_under_the_doors_name(tmp_path, monkeypatch):
    (tmp_path / "some_op").mkdir()
    (tmp_path / "some_op" / "__init__.py").write_text("RUNGS = ['one']")
    monkeypatch.setattr(minigen.kernels, "__path__", [str(tmp_path)])
    module = importlib.import_module("minigen.kernels.some_op")
    monkeypatch.delitem(sys.modules, "minigen.kernels.some_op")
    assert module.RUNGS == ["one"]


def test_import_minigen_takes_numpy_only():
    heavy = (
        "numba matplotlib PIL tqdm safetensors scipy cupy torch threadpoolctl importlib.metadata"
    )
    program = f"import sys, minigen; print([m for m in {heavy.split()} if m in sys.modules])"
    assert python(program) == "[]"


def test_import_minigen_takes_less_than_300_ms():
    program = (
        "import time; start = time.process_time(); import minigen; "
        "print(time.process_time() - start)"  # of the processor: other programs may be running
    )
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    python(program)  # the first run compiles
    assert median(float(python(program, env=one_thread)) for _ in range(5)) < 0.3


def test_every_package_is_listed_once():
    listed = SETTINGS["tool"]["setuptools"]["packages"]
    folders = [path.parent for path in (ROOT / "minigen").rglob("__init__.py")]
    found = [".".join(folder.relative_to(ROOT).parts) for folder in folders]
    assert sorted(listed) == sorted([*found, "minigen._kernels"])


def test_the_version_is_that_of_the_installed_package():
    try:
        installed = version("minigen")
    except PackageNotFoundError:
        pytest.skip("minigen is not installed, only on the path")
    assert minigen.__version__ == installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the checkout, without the network."""
    pytest.importorskip("build", reason="needs the package build")
    pytest.importorskip("setuptools", minversion="77", reason="needs setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("minigen", "kernels"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(wheel):
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minigen").rglob("*.py")}
    for kind in ("*.safetensors", "*.json", "*.md"):
        wanted |= {
            path.relative_to(ROOT).as_posix() for path in (ROOT / "minigen/weights").glob(kind)
        }
    for kind in ("*.py", "*.cu", "*.cuh", "*.h", "*.md"):
        files = (ROOT / "kernels").rglob(kind)
        wanted |= {f"minigen/_kernels/{p.relative_to(ROOT / 'kernels').as_posix()}" for p in files}
    with ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "import minigen.kernels as k; print(k.__file__, k.__path__[0])"
    found = python(program, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path)
    installed = tmp_path / "site" / "minigen"
    assert found == f"{installed / 'kernels.py'} {installed / '_kernels'}"
