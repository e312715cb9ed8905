"""Kernels with one mistake each, and which of them the tests notice.

    python tests/kernels/mutants.py                        every kernel, by every test_cuda_*.py
    python tests/kernels/mutants.py test_cuda_matmul.py --only k3_shared_tile

The mistakes: a barrier, or a wait for copies, left out; a wait for one group of copies fewer; an
index one too large; a comparison that always holds, or never, such as a check of bounds; a loop of
one turn more or fewer. All of them are built at once, into copies of the kernels' texts that ask at
each place whether the number of the mistake is the chosen one. The tests run once without a
mistake, to see which of them come by which place; then, for each mistake, those that do, in a
process of its own, until one fails or the process dies or does not end. What the tests do not
notice goes through the sanitizers, with a few of the same tests.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from minigen.kernels.cpu import CompileError, runner
from minigen.kernels.cpu import build as builder
from minigen.kernels.signature import without_comments

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KERNELS = ROOT / "kernels"
NOT_OURS = (
    "mg.cuh",
    "mg_ptx.h",
)  # the language itself: test_emulator.py, test_cuda_tensor_cores.py
MOST = 16384  # mistakes at once
SECONDS = 20.0  # for one mistake, then it does not end
SANITIZED_TESTS = 12  # or a few more, of different examples, for what the plain tests do not notice

# Mistakes that change nothing, and why: (file, mistake, code) -> reason.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (row["file"], row["mistake"], row["code"]): row["why"]
    for row in json.loads((HERE / "equivalent_mutants.json").read_text("utf-8"))
}


class Mutant(NamedTuple):
    """One mistake."""

    file: str  # in the folder of kernels
    line: int
    what: str
    code: str  # the line as it should be, and what a loop begins with

    @property
    def key(self) -> tuple[str, str, str]:
        """By which EQUIVALENT knows it, also when lines move."""
        return self.file, self.what, self.code

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: {self.what}"


# ---------------------------------------------------------------------------------- from the texts

WAITS = re.compile(r"\b(?:__syncthreads|__syncwarp|mg_wait\s*<([^<>]*)>)\s*\(")
COMPARISON = re.compile(r" (<=|>=|<|>)\s+(?=\S)")
INDEX = re.compile(r"[\w\])]\[")
NOT_TYPES = ("return", "else", "case", "goto", "do", "throw", "delete", "and", "or", "not", "new")


class Edit(NamedTuple):
    start: int
    end: int
    before: str  # around the text between the two: {} is the number of the mistake
    after: str
    what: tuple[str, ...]  # a mistake for each {}, in their order


def edits(text: str) -> Iterator[Edit]:
    """The places of a kernel where a mistake can be made, in its text without comments."""
    for found in WAITS.finditer(text):
        start, end = found.start(), _closing(text, found.end() - 1) + 1
        call = text[start:end]
        if found[1]:  # mg_wait<N>()
            fewer = call.replace(f"<{found[1]}>", f"<({found[1]}) + 1>")
            yield Edit(
                start,
                end,
                f"(MG_IS({{}}) ? (void)0 : MG_IS({{}}) ? {fewer} : ",
                ")",
                (f"without {call}", f"{fewer} for {call}"),
            )
        else:
            yield Edit(start, end, "(MG_IS({}) ? (void)0 : ", ")", (f"without {call}",))
    for found in INDEX.finditer(text):
        start = found.end()
        end = _closing(text, start - 1)
        if text[start:end].strip() and not _declares(text, found.start() + 1):
            what = " ".join(text[_array(text, start - 1) : end].split()) + " + 1]"
            yield Edit(start, end, "(", ") + MG_IS({})", (what,))
    for found in COMPARISON.finditer(text):
        start, end = _operands(text, found.start() + 1, found.end())
        words = " ".join(text[start:end].split())
        loop = _loop(text, start)
        if loop is None:
            continue
        if not loop:
            yield Edit(
                start,
                end,
                "(MG_IS({}) ? true : MG_IS({}) ? false : (",
                "))",
                (f"{words} is true", f"{words} is false"),
            )
        elif found[1] in ("<", "<="):
            right, step = found.end(), _step(text, start)
            more = (f"{words} + 1", f"{words} - {step}")
            yield Edit(right, end, "(", f") + MG_IS({{}}) - MG_IS({{}}) * ({step})", more)
        else:
            right = found.end()
            yield Edit(right, end, "(", ") + MG_IS({})", (f"{words} + 1",))


def _closing(text: str, at: int) -> int:
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += text[i] in "([{"
        depth -= text[i] in ")]}"
        if not depth:
            return i
    return len(text)


def _opening(text: str, at: int) -> int:
    """The place of the bracket that opens the one that `at` stands in; -1 at the top."""
    depth = 0
    for i in range(at - 1, -1, -1):
        depth += text[i] in ")]}"
        if text[i] in "([{":
            if not depth:
                return i
            depth -= 1
    return -1


def _array(text: str, bracket: int) -> int:
    """Where the name of what is indexed by the bracket begins."""
    while text[bracket - 1] in "])":
        bracket = _opening(text, bracket - 1)
    name = re.search(r"[\w.]*$", text[:bracket])
    return name.start() if name else bracket


def _declares(text: str, bracket: int) -> bool:
    """Whether `name[` is the size of an array that is declared here."""
    while text[bracket - 1] == "]":  # of several axes the first
        bracket = _opening(text, bracket - 1)
    name = re.search(r"\w+$", text[:bracket])
    if not name:
        return re.search(r"\([&*]\w+\)$", text[:bracket]) is not None
    before = text[: name.start()].rstrip()
    word = re.search(r"[A-Za-z_]\w*$", before)
    if word:
        return word[0] not in NOT_TYPES
    if before.endswith(">") and re.search(r"[\w>]>$", before):
        return True  # a template's type
    if not before.endswith(","):
        return False
    start = name.start() - 1
    while start >= 0 and text[start] not in ";([{":  # back to the start of the statement
        start = _opening(text, start) - 1 if text[start] in ")]}" else start - 1
    if start >= 0 and text[start] in "([":
        return False
    rest = re.sub(r"__align__\(\d+\)", " ", text[start + 1 :])
    head = re.match(r"\s*(?:\w+\s+)*([A-Za-z_]\w*)[\s*&]+[A-Za-z_]\w*\s*[\[=,(]", rest)
    return head is not None and head[1] not in NOT_TYPES


def _operands(text: str, left: int, right: int) -> tuple[int, int]:
    """Where the operands of a comparison begin and end."""
    depth, start = 0, left
    while start > 0:
        c, two = text[start - 1], text[start - 2 : start]
        if c in ")]}":
            depth += 1
        elif c in "([{":
            if not depth:
                break
            depth -= 1
        elif not depth and (
            (c in ",;?:" or two in ("&&", "||"))
            or (c == "=" and text[start - 2] not in "<>!=")
            or re.search(r"\breturn\s$", text[max(0, start - 8) : start])
        ):
            break
        start -= 1
    depth, end = 0, right
    while end < len(text):
        c, two = text[end], text[end : end + 2]
        if c in "([{":
            depth += 1
        elif c in ")]}":
            if not depth:
                break
            depth -= 1
        elif not depth and (c in ",;?:" or two in ("&&", "||")):
            break
        end += 1
    while text[start].isspace():
        start += 1
    while text[end - 1].isspace():
        end -= 1
    return start, end


def _loop(text: str, at: int) -> bool | None:
    """Whether a comparison bounds a loop; None where it is not one that can be changed."""
    statement = max(text.rfind(c, 0, at) for c in ";{}")
    head = text[statement + 1 : at]
    if re.search(r"\b(template|static_assert|constexpr|while|typedef|using)\b", head):
        return None
    opening = _opening(text, at)
    if opening >= 0 and text[opening] == "(" and re.search(r"\bfor\s*$", text[:opening]):
        return text[opening:at].count(";") == 1
    return False


def _step(text: str, at: int) -> str:
    """How far a loop from 0 on goes at each turn; 1 where it begins elsewhere."""
    opening = _opening(text, at)
    begin, _, goes_on = text[opening + 1 : _closing(text, opening)].split(";")
    step = re.fullmatch(r"\s*\w+ \+= (\w+)\s*", goes_on)
    return step[1] if step and re.fullmatch(r"\s*\w+ \w+ = 0", begin) else "1"


def without_directives(text: str) -> str:
    """The same lines; comments, texts and what is for the preprocessor are blank."""
    blank = lambda found: re.sub(r"[^\n]", " ", found.group())  # noqa: E731
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', blank, without_comments(text))
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)


def instrument(
    text: str, file: str, first: int, skipped: frozenset[int] = frozenset()
) -> tuple[str, list[Mutant]]:
    """The text with all mistakes of a file, numbered from `first` on; none in the lines skipped."""
    clean, lines = without_directives(text), text.splitlines()
    mutants, parts = [], []
    for edit in edits(clean):
        line = clean.count("\n", 0, edit.start) + 1
        numbers = iter(range(first + len(mutants), MOST))
        code = _code(lines, line)
        mutants += [Mutant(file, line, what, code) for what in edit.what]
        if line in skipped:
            continue
        fill = lambda words: re.sub(r"\{\}", lambda _: str(next(numbers)), words)  # noqa: E731, B023
        parts.append((edit.start, 1, -edit.end, fill(edit.before)))
        parts.append((edit.end, 0, -edit.start, fill(edit.after)))
    result, place = [], 0
    for at, _, _, words in sorted(parts):  # where one begins at another's end, that ends first
        result += [clean[place:at], words]
        place = at
    whole = "".join([*result, clean[place:]])
    return _with_directives(whole, text), mutants


def _code(lines: list[str], line: int) -> str:
    """A line without its comment; where a loop begins, with the next one, to tell loops apart."""
    here, after = (text.partition("//")[0].strip() for text in (*lines, "")[line - 1 : line + 1])
    return f"{here} {after}" if here.startswith("for (") else here


def _with_directives(changed: str, text: str) -> str:
    """Lines that hold nothing but blanks are as they were: #include, #define; and `extern "C"`."""
    new, old = changed.split("\n"), text.split("\n")
    kept = [b if not a.strip() else a for a, b in zip(new, old)]
    return re.sub(r"^(\s*)extern {4}", r'\1extern "C" ', "\n".join(kept), flags=re.MULTILINE)


# ------------------------------------------------------------------------------------ built at once

SWITCH = f"""
#include <cstdlib>
extern "C" {{
int mg_mutant = getenv("MG_MUTANT") ? atoi(getenv("MG_MUTANT")) : 0;
unsigned char mg_reached[{MOST}];
}}
__attribute__((no_sanitize("thread", "address"))) static bool mg_is(int n) {{
  mg_reached[n] = 1;
  return mg_mutant == n;
}}
#define MG_IS(n) mg_is(n)
"""


class Mirror:
    """A copy of the kernels with all mistakes, in `folder`; `build` is in the place of theirs."""

    def __init__(self, folder: Path, only: str = ""):
        self.folder, self.only = folder, only
        self.mutants: dict[int, Mutant] = {}  # by number, from 1 on
        self.first: dict[str, int] = {}  # of each file's mistakes
        self.skipped: dict[str, frozenset[int]] = {}  # lines where g++ takes none
        self.built: dict[tuple[object, ...], Path] = {}
        self.ways: dict[Path, tuple[Path, dict[str, object]]] = {}
        self.seconds = 0.0  # of g++
        (folder / "switch.h").write_text(SWITCH)
        for path in sorted(KERNELS.rglob("*")):
            if path.suffix in (".cu", ".cuh", ".h") and path.parent.name != "cpu":
                self._write(str(path.relative_to(KERNELS)))

    def _write(self, name: str) -> None:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        text = (KERNELS / name).read_text("utf-8")
        if place.name not in NOT_OURS and self.only in name:
            first = self.first.setdefault(name, 1 + len(self.mutants))
            text, found = instrument(text, name, first, self.skipped.get(name, frozenset()))
            self.mutants.update(enumerate(found, first))
        place.write_text(text, "utf-8")

    def build(self, source: Path, defines: dict[str, object], sanitize: str | None) -> Path:
        key = (source, sanitize, *sorted(defines.items()))
        begin = time.perf_counter()
        while key not in self.built:
            try:
                place = self._compile(source, defines, sanitize)
            except CompileError as error:
                self._skip(error)
            else:
                self.built[key], self.ways[place] = place, (source, dict(defines))
        self.seconds += time.perf_counter() - begin
        return self.built[key]

    def _compile(self, source: Path, defines: dict[str, object], sanitize: str | None) -> Path:
        copy = self.folder / source.relative_to(KERNELS) if KERNELS in source.parents else source
        names = list(builder.kernels_of(source.read_text("utf-8")))
        key = hashlib.sha256(repr((source, sorted(defines.items()), sanitize)).encode())
        place = self.folder / "built" / f"{source.stem}-{key.hexdigest()[:16]}"
        if place.exists():  # by the process of an earlier mistake
            return place
        compiler, version = builder.find_compiler()
        words = [compiler, *(w for w in builder.OPTIONS if w[:2] not in ("-I", "-w"))]
        words += [*builder._poison(version), "-Werror=vla", "-include", f"{self.folder}/switch.h"]
        words += ["-fno-aggressive-loop-optimizations"]  # it holds loops within their arrays
        words += [f"-I{folder}" for folder in (self.folder / "include", builder.HERE, copy.parent)]
        words += [f"-D{k}={v}" for k, v in sorted(defines.items())] + [*builder.SANITIZE[sanitize]]
        builder._compile(copy, names, words, place, sanitize is not None)
        return place

    def _skip(self, error: CompileError) -> None:
        """Make no mistakes in the line that g++ complains of."""
        found = re.match(rf"{re.escape(str(self.folder))}/([^:]+):(\d+):", str(error))
        if not found or int(found[2]) in self.skipped.get(found[1], ()):
            raise RuntimeError(f"not a mistake of the mistakes: {error}")
        self.skipped[found[1]] = self.skipped.get(found[1], frozenset()) | {int(found[2])}
        self._write(found[1])

    def libraries(self) -> list[ctypes.CDLL]:
        return [runner._library(place) for key, place in self.built.items() if key[1] is None]


# ----------------------------------------------------------------------------------- and looked for


class Lane:
    """A plugin of pytest: in the place of running its tests, it runs them on every mistake."""

    def __init__(self, mirror: Mirror, log: Path):
        self.mirror, self.log = mirror, log
        self.progress = os.fdopen(os.dup(2), "w")  # pytest takes stderr itself
        self.seconds: dict[pytest.Item, float] = {}
        self.reaching: dict[int, list[pytest.Item]] = {}
        self.kills: Counter[pytest.Item] = Counter()
        self.clean: dict[tuple[pytest.Item, str], bool] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        runner.build = self.mirror.build  # type: ignore[assignment]
        failing = [item.nodeid for item in session.items if not self._without_a_mistake(item)]
        result = {"failing": failing, "mutants": [], "tests": len(self.seconds)}
        for number, items in sorted(self.reaching.items()):
            if number in self._caught_elsewhere():
                continue
            mutant, caught = self.mirror.mutants[number], self._caught(number, items)
            result["mutants"].append([number, *mutant, caught])
            if caught:
                with (self.log.parent / "caught").open("a") as file:
                    file.write(f"{number}\n")
            else:
                print(f"{self.log.stem}: survives {mutant}", file=self.progress, flush=True)
            if len(result["mutants"]) % 20 == 0:
                done = f"{len(result['mutants'])} of {len(self.reaching)}"
                print(f"{self.log.stem}: {done}", file=self.progress, flush=True)
        result["unseen"] = [[*m] for n, m in self.mirror.mutants.items() if n not in self.reaching]
        result["skipped"] = [
            [*m]
            for m in self.mirror.mutants.values()
            if m.line in self.mirror.skipped.get(m.file, ())
        ]
        self.log.write_text(json.dumps(result))
        return True

    def _caught_elsewhere(self) -> set[int]:
        """The mistakes that the tests of another file have noticed."""
        caught = self.log.parent / "caught"
        return set(map(int, caught.read_text().split())) if caught.exists() else set()

    def _without_a_mistake(self, item: pytest.Item) -> bool:
        """Run the test, see by which places it comes and how long it takes; False if it fails."""
        for library in self.mirror.libraries():
            ctypes.memset(ctypes.addressof(_reached(library)), 0, MOST)
        begin, built = time.perf_counter(), self.mirror.seconds
        outcomes = _outcomes(item)
        if "failed" in outcomes or "skipped" in outcomes:
            return "failed" not in outcomes
        numbers = set()
        for library in self.mirror.libraries():
            reached = bytes(_reached(library))
            numbers |= {n for n in self.mirror.mutants if reached[n]}
        if numbers:
            spent = time.perf_counter() - begin - (self.mirror.seconds - built)
            self.seconds[item] = spent
        for n in numbers:
            self.reaching.setdefault(n, []).append(item)
        return True

    def _caught(self, number: int, items: list[pytest.Item]) -> str:
        """What notices the mistake: "tests", the name of a sanitizer, or "" for nothing."""
        items = sorted(items, key=self.seconds.__getitem__)
        best = sorted(items, key=lambda item: -self.kills[item])[:4]
        if self._fails(number, [*best, *(item for item in items if item not in best)], None):
            return "tests"
        if self.mirror.mutants[number].key in EQUIVALENT:
            return "equivalence"
        examples = list({_example(item): item for item in items}.values())  # quick to slow
        few = examples[:: -max(1, len(examples) // SANITIZED_TESTS)]
        for sanitize in ("address", "thread"):
            clean = [item for item in few if self._is_clean(item, sanitize)]
            if self._fails(number, clean, sanitize):
                return sanitize
        return ""

    def _is_clean(self, item: pytest.Item, sanitize: str) -> bool:
        if (item, sanitize) not in self.clean:
            self.clean[item, sanitize] = not self._fails(0, [item], sanitize)
        return self.clean[item, sanitize]

    def _fails(self, number: int, items: list[pytest.Item], sanitize: str | None) -> bool:
        """Whether one of the tests fails, in a process of its own, on this mistake."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            with contextlib.suppress(BaseException):
                os._exit(self._in_the_child(number, items, sanitize, write))
            os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read()
        status = os.waitpid(pid, 0)[1]
        if said and sanitize is None:
            self.kills[items[int(said)]] += 1
        return status != 0

    def _in_the_child(
        self, number: int, items: list[pytest.Item], sanitize: str | None, write: int
    ) -> int:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        expected = sum(map(self.seconds.__getitem__, items))
        faulthandler.disable()  # a mistake that ends the process is no news
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process
        signal.alarm(int(SECONDS + 3 * expected) * (5 if sanitize else 1))
        os.environ["MG_MUTANT"] = str(number)
        for library in self.mirror.libraries():
            ctypes.c_int.in_dll(library, "mg_mutant").value = number
        if sanitize:
            runner._in_this_process = self._sanitized(sanitize)  # type: ignore[assignment]
        for i, item in enumerate(items):
            if "failed" in _outcomes(item):
                os.write(write, str(i).encode())
                return 1
        return 0

    def _sanitized(self, sanitize: str):
        def start(built, kernel, sizes, shared, parameters, arguments, how):
            source, defines = self.mirror.ways[built]
            program = self.mirror.build(source, defines, sanitize)
            how = how._replace(sanitize=sanitize)
            runner._as_a_program(program, kernel, sizes, shared, parameters, arguments, how)

        return start


def _example(item: pytest.Item) -> tuple[str, str]:
    """What a test is of, in whatever order blocks and threads run."""
    parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    return item.name.partition("[")[0], str({**parameters, "where": 0})


def _reached(library: ctypes.CDLL) -> ctypes.Array:
    return (ctypes.c_ubyte * MOST).in_dll(library, "mg_reached")


def _outcomes(item: pytest.Item) -> set[str]:
    from _pytest.runner import runtestprotocol

    return {report.outcome for report in runtestprotocol(item, log=False, nextitem=None)}


def run_lane(test: str, only: str, log: Path) -> None:
    """All mistakes, by the tests of one file; what comes of it stands in the file `log`."""
    folder = log.with_suffix("")
    folder.mkdir()
    mirror = Mirror(folder, only)
    words = [str(HERE / test), "-q", "-p", "no:cacheprovider", "-m", "not gpu and not slow"]
    words += ["-k", f"{Path(only).name} and not numba" if only else "not numba"]
    pytest.main(words, plugins=[Lane(mirror, log)])
    shutil.rmtree(folder)


class Report(NamedTuple):
    caught: Counter[str]  # by what
    survivors: list[Mutant]  # that nothing notices, without the equivalent ones
    unseen: list[Mutant]  # by whose place no test comes
    skipped: list[Mutant]  # that cannot be made
    failing: list[str]  # tests, without a mistake

    @property
    def is_clean(self) -> bool:
        return not (self.survivors or self.unseen or self.failing)

    def text(self) -> str:
        total = sum(self.caught.values()) + len(self.survivors) + len(self.unseen)
        counts = ", ".join(f"{n} by {name}" for name, n in self.caught.most_common())
        lines = [f"{total} mutants: {counts}"]
        for name in ("survivors", "unseen", "failing", "skipped"):
            found = getattr(self, name)
            lines += [f"{len(found)} {name}:", *(f"  {m}" for m in found)] if found else []
        return "\n".join(lines)


def look_for(tests: list[str], only: str = "", jobs: int = 2) -> Report:
    """All mistakes, by all tests: a process for each of their files, `jobs` at once."""
    largest = sorted(tests, key=lambda test: -(HERE / test).stat().st_size)
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{Path(test).stem}.json" for test in largest]

        def lane(test: str, log: Path) -> dict:
            command = [sys.executable, __file__, test, "--only", only, "--log", str(log)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            if not log.exists():
                raise RuntimeError(f"{test}: {done.stdout[-2000:]}")
            return json.loads(log.read_text())

        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(lane, largest, logs))
    mutants: dict[int, Mutant] = {}  # by their numbers: a line may hold the same mistake twice
    how: dict[int, str] = {}
    for result in results:
        for number, *mutant, caught in result["mutants"]:
            mutants[number] = Mutant(*mutant)
            how[number] = how.get(number) or caught
    skipped = {Mutant(*m) for result in results for m in result["skipped"]}
    reached = set(mutants.values())
    made = {Mutant(*m) for result in results for m in result["unseen"]} | reached
    seen_files = {m.file for m in reached} if tests != all_tests() else {m.file for m in made}
    unseen = {m for m in made - reached - skipped if m.file in seen_files}
    caught = Counter(by for by in how.values() if by)
    survivors = sorted(mutants[number] for number, by in how.items() if not by)
    failing = [test for result in results for test in result["failing"]]
    return Report(caught, survivors, sorted(unseen), sorted(skipped), failing)


def all_tests() -> list[str]:
    """Those that look at what the kernels compute."""
    found = {path.name for path in HERE.glob("test_cuda_*.py")}
    others = {"test_cuda_mutants.py", "test_cuda_sanitizers.py", "test_cuda_graphs.py"}
    return sorted(found - others)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="files of tests (all test_cuda_*.py)")
    parser.add_argument("--only", default="", help="mistakes in files whose names contain this")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.log:
        run_lane(args.tests[0], args.only, args.log)
        return 0
    report = look_for(args.tests or all_tests(), args.only, args.jobs)
    print(report.text())
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
