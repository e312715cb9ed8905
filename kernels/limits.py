"""What the kernels take of a GPU, kept in limits.json: registers, shared memory, instructions.

    python -m minigen.kernels.limits       measures all anew; read the difference before it is kept

An entry is one .cu file with one set of defines, as its rung uses it; a file may have several. Its
limits hold for all of ARCHS: registers are the most of them, up to the next multiple of 8, which is
how a multiprocessor hands them out. Nothing may spill.
"""

import json
import re
from pathlib import Path
from typing import Any

from minigen.kernels.build import CompileError, Report, build
from minigen.kernels.signature import without_comments

FOLDER = Path(__file__).parent
FILE = FOLDER / "limits.json"
Entry = dict[str, Any]  # file, defines, kernels: {name: {registers, shared, instructions}}


def archs_for(source: Path) -> tuple[str, ...]:
    """The oldest that the file is for, and newer ones."""
    needs_ampere = re.search(r"\bmg_(mma|tf32|copy16|commit|wait)", _text(source))
    return ("80", "90a") if needs_ampere else ("75", "80", "90a")


def _text(source: Path) -> str:
    """The file, and the headers beside it that it includes."""
    text = without_comments(source.read_text("utf-8"))
    beside = [source.with_name(name) for name in re.findall(r'#include "(.+?)"', text)]
    return text + "".join(_text(header) for header in beside if header.is_file())


def read() -> list[Entry]:
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def files() -> list[str]:
    """All that export a kernel, as "matmul/k1_naive.cu"."""
    return sorted(str(path.relative_to(FOLDER).as_posix()) for path in FOLDER.glob("*/*.cu"))


def measure(entry: Entry) -> dict[str, dict[str, Report]]:
    """{arch: {kernel: report}}."""
    source = FOLDER / entry["file"]
    return {a: build(source, a, entry.get("defines")).kernels for a in archs_for(source)}


def write() -> list[str]:
    """limits.json as it would be if what is measured now were right; what could not be built."""
    known = [entry for entry in read() if entry["file"] in files()]
    fresh = [{"file": f} for f in files() if f not in {entry["file"] for entry in known}]
    entries = sorted(known + fresh, key=lambda e: (e["file"], json.dumps(e.get("defines", {}))))
    errors = []
    for entry in entries:
        try:
            measured = list(measure(entry).values())
        except CompileError as error:  # a name that its rung defines: write an entry with "defines"
            errors.append(str(error))
            continue
        entry["kernels"] = {
            name: _limits([reports[name] for reports in measured]) for name in sorted(measured[0])
        }
    lines = ",\n".join(json.dumps(entry) for entry in entries if "kernels" in entry)
    FILE.write_text(f"[\n{lines}\n]\n", "utf-8")
    return errors


def _limits(reports: list[Report]) -> dict[str, Any]:
    return {
        "registers": -(-max(r.registers for r in reports) // 8) * 8,
        "shared": max(r.shared for r in reports),
        "instructions": [i for i in reports[0].instructions if all(i in r[-1] for r in reports)],
    }


if __name__ == "__main__":
    print("\n".join(write()))
