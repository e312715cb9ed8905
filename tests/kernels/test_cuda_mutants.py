"""The tests of the CUDA kernels notice mistakes: a sample here, all of them with `-m mutants`."""

import os
import re

import pytest
from mutants import EQUIVALENT, KERNELS, Mutant, all_tests, instrument, look_for, without_directives

from minigen.kernels.cpu.build import NoCompilerError, find_compiler

KERNEL = """#include "mg_ptx.h"
#define AT(i) tile[i]
template <int N>
__device__ float all(const float (&row)[N], float own[4]) { return row[0] + own[N - 1]; }

extern "C" __global__ void f(const float* x, float* y, int n) {
  __shared__ float tile[2][TILE], other[TILE];  // a[0] < b
  float sums[4] = {0, 1}, more[4], first = x[0], *p = y;
  if (threadIdx.x >= n || first <
      0) return;
  for (int i = 0; i < n && x[i] > 1; i++) tile[i & 1][i] = x[i] < 0 ? 0 : sums[i];
  for (int by = 16; by > 0; by /= 2) mg_wait<1>();
  __syncthreads();
  y[n] = AT(0) * other[1];
  for (int j = 0; j < 8; j += 4) y = p;
}
"""

EXPECTED = [
    (4, "row[0 + 1]"),
    (4, "own[N - 1 + 1]"),
    (8, "x[0 + 1]"),
    (9, "threadIdx.x >= n is true"),
    (9, "threadIdx.x >= n is false"),
    (9, "first < 0 is true"),
    (9, "first < 0 is false"),
    (11, "i < n + 1"),
    (11, "i < n - 1"),
    (11, "x[i + 1]"),
    (11, "x[i] > 1 + 1"),
    (11, "tile[i & 1 + 1]"),
    (11, "tile[i & 1][i + 1]"),
    (11, "x[i + 1]"),
    (11, "x[i] < 0 is true"),
    (11, "x[i] < 0 is false"),
    (11, "sums[i + 1]"),
    (12, "by > 0 + 1"),
    (12, "without mg_wait<1>()"),
    (12, "mg_wait<(1) + 1>() for mg_wait<1>()"),
    (13, "without __syncthreads()"),
    (14, "y[n + 1]"),
    (14, "other[1 + 1]"),
    (15, "j < 8 + 1"),
    (15, "j < 8 - 4"),
]


def test_every_kind_of_mistake_is_made():
    _, mutants = instrument(KERNEL, "f.cu", 1)
    assert sorted((m.line, m.what) for m in mutants) == sorted(EXPECTED)


def test_without_a_number_the_text_says_the_same():
    text, mutants = instrument(KERNEL, "f.cu", 1)
    numbers = re.findall(r"MG_IS\((\d+)\)", text)
    assert sorted(map(int, numbers)) == list(range(1, 1 + len(mutants)))
    choice = r"\(MG_IS\(\d+\) \? [^:]+ : (?:MG_IS\(\d+\) \? [^:]+ : )?"
    for mistake in (choice, r" [+-] MG_IS\(\d+\)(?: \* \(\w+\))?"):
        text = re.sub(mistake, "", text)
    bare = lambda words: re.sub(r"[\s()]", "", without_directives(words))  # noqa: E731
    assert bare(text) == bare(KERNEL)
    assert text.count("\n") == KERNEL.count("\n")
    assert '#include "mg_ptx.h"\n#define AT(i) tile[i]\n' in text


def test_lines_can_be_left_out_and_keep_their_numbers():
    text, mutants = instrument(KERNEL, "f.cu", 1, frozenset({11}))
    assert len(mutants) == len(EXPECTED)
    assert "  for (int i = 0; i < n && x[i] > 1; i++) tile[i & 1][i] = x[i] < 0 ? 0 :" in text


def test_mistakes_that_change_nothing_are_still_there():
    made = {}
    for file in {file for file, _, _ in EQUIVALENT}:
        made[file] = instrument((KERNELS / file).read_text("utf-8"), file, 1)[1]
    for file, what, code in EQUIVALENT:
        assert any((m.what, m.code) == (what, code) for m in made[file]), (file, what, code)


@pytest.fixture
def _compiler():
    try:
        find_compiler()
    except NoCompilerError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_compiler")
def test_the_mistakes_of_one_kernel_are_noticed():
    report = look_for(["test_cuda_matmul.py"], only="matmul/k3_shared_tile")
    assert sum(report.caught.values()) >= 25
    assert report.is_clean, report.text()


@pytest.mark.mutants
@pytest.mark.usefixtures("_compiler")
def test_every_mistake_in_every_kernel_is_noticed(request, capsys):
    if "mutants" not in request.config.option.markexpr:
        pytest.skip("takes minutes: pytest -m mutants")
    with capsys.disabled():
        report = look_for(all_tests(), jobs=os.cpu_count() or 1)
        print(report.text())
    assert report.is_clean


def test_a_mutant_says_where_it_is():
    assert str(Mutant("a.cu", 3, "x[i + 1]", "x[i] = 0;")) == "a.cu line 3: x[i + 1]"
