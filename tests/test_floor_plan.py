"""Imports point down only. A room is a file or folder of minigen; a model file is a room."""

import ast
from pathlib import Path

import pytest

MINIGEN = Path(__file__).resolve().parent.parent / "minigen"

FLOORS = [  # from the roof to the cellar; rooms on one floor do not import each other
    {"__main__"},
    {"cli"},
    {"paint"},
    {"recipes"},
    {"models"},
    {"samplers", "metrics", "train"},
    {"nn", "optim", "schedules", "latents", "data", "check"},
    {"ops"},
    {"gradcheck", "trace", "parallel", "minigen"},  # minigen: what `import minigen` itself gives
    {"autograd"},
    {"backend"},
    {"kernels", "weights"},
]
FLOOR = {room: -depth for depth, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(MINIGEN.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(MINIGEN.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in FILES}


def imports_of(path):
    """The modules of minigen that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("minigen"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it points"
            if node.module.partition(".")[0] == "minigen":
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (name if name in MODULES else node.module for name in names)


def room_of(module):
    """minigen.nn.unet -> (nn,); minigen.models.vae.vae -> (models, vae, vae); minigen -> itself."""
    parts = tuple(module.split(".")[1:]) or ("minigen",)
    return parts if parts[0] == "models" else parts[:1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MINIGEN)))
def test_imports_point_down(path):
    here = room_of(name_of(path))
    for there in map(room_of, imports_of(path)):
        assert there == here or FLOOR[there[0]] < FLOOR[here[0]], f"imports {'.'.join(there)}"


def test_only_the_backend_goes_through_the_door_to_the_kernels():
    by = {name_of(path) for path in FILES if "minigen.kernels" in path.read_text("utf-8")}
    # the commands measure and compile every kernel, and say what was compiled and kept
    commands = {
        f"minigen.cli{name}" for name in ("", ".bench", ".doctor", ".emulate", ".errors", ".warmup")
    }
    threads = {"minigen.parallel"}  # a batch and a kernel share one set of threads
    by = {name for name in by if not name.startswith("minigen.check")}  # it runs a student's kernel
    assert by - commands - threads == {"minigen.backend", "minigen.kernels"}


def test_kernels_know_nothing_of_minigen():
    kernels = MINIGEN.parent / "kernels"
    for path in kernels.rglob("*.py"):
        if path.relative_to(kernels).parts[0] == "bench":
            continue  # it measures whole recipes beside their kernels, so it may import all
        others = [name for name in imports_of(path) if not name.startswith("minigen.kernels")]
        assert others == [], path
