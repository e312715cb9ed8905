"""Every kernel through NVIDIA's compiler, for old and new GPUs, without one.

What a kernel takes must stay within kernels/limits.json: a register more may halve the threads that
a multiprocessor runs, a spill or a lost instruction may cost more. The file is written anew by
`python -m minigen.kernels.limits`.
"""

import sys

import pytest

from minigen.kernels import build as nvrtc
from minigen.kernels import limits
from minigen.kernels.build import CompileError, build, reports_of
from minigen.kernels.errors import GPUError, NoNvrtcError
from minigen.kernels.signature import kernels_of


def why_not():
    """Why NVRTC cannot be used here, None where it can."""
    try:
        nvrtc.find_nvrtc()
    except GPUError as error:
        return str(error)
    return None


needs_nvrtc = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
ENTRIES = limits.read()


def name_of(entry):
    defines = [f"{name}={value}" for name, value in entry.get("defines", {}).items()]
    return ",".join([entry["file"], *defines])


@pytest.mark.parametrize("error", [NoNvrtcError("not installed"), CompileError("line 3: what")])
def test_the_command_says_what_is_wrong_in_one_line(error, monkeypatch):
    def build(source, arch, defines):
        assert (source, arch, defines) == ("k.cu", "90", {"TILE": "8", "FAST": 1})
        raise error

    monkeypatch.setattr(nvrtc, "build", build)
    words = ["build.py", "k.cu", "--arch", "90", "--define", "TILE=8", "FAST"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=f"^build: error: {error}$"):
        nvrtc.main()


# -------------------------------------------------------------------------------------- all kernels


def test_every_kernel_has_its_limits():
    known = {entry["file"]: entry["kernels"] for entry in ENTRIES}
    assert sorted(known) == limits.files(), "run `python -m minigen.kernels.limits`"
    for file, kernels in known.items():
        assert sorted(kernels) == sorted(kernels_of((limits.FOLDER / file).read_text("utf-8")))


@needs_nvrtc
@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_kernels_stay_within_their_limits(entry):
    for arch, reports in limits.measure(entry).items():
        for name, limit in entry["kernels"].items():
            report, what = reports[name], f"{name} for sm_{arch}"
            assert report.spills == 0, what
            assert report.registers <= limit["registers"], what
            assert report.shared <= limit["shared"], what
            assert set(limit["instructions"]) <= set(report.instructions), what


def test_what_is_called_mma_has_tensor_cores_in_it():
    promised = {
        entry["file"]: {i for kernel in entry["kernels"].values() for i in kernel["instructions"]}
        for entry in ENTRIES
    }
    named = {file for file in promised if "_mma" in file}
    assert named == {file for file, found in promised.items() if found & {"mma", "wgmma"}}


# ------------------------------------------------------------------------------------- the compiler

TEXT = """
#include "mg.cuh"
extern "C" __global__ void twice(const float* a, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = FACTOR * a[i] + (a[i] > INFINITY ? __half2float(__float2half(a[i])) : 0);
}
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGEN_TUNING", str(tmp_path / "cache" / "tuning.json"))
    path = tmp_path / "twice.cu"
    path.write_text(TEXT)
    return path


@needs_nvrtc
@pytest.mark.parametrize("arch", nvrtc.ARCHS)
def test_it_builds_for_every_architecture(source, arch):
    built = build(source, arch, {"FACTOR": "2.f"})
    assert built.cubin.read_bytes()[:4] == b"\x7fELF"
    report = built.kernels["twice"]
    assert 0 < report.registers < 32
    assert (report.spills, report.shared, report.instructions) == (0, 0, ())


@needs_nvrtc
def test_what_was_built_is_kept_until_something_changes(source, monkeypatch):
    first = build(source, "80", {"FACTOR": 2})
    stamp = first.cubin.stat().st_mtime_ns
    assert build(source, "80", {"FACTOR": 2}) == first
    assert first.cubin.stat().st_mtime_ns == stamp
    others = [build(source, "80", {"FACTOR": 3}), build(source, "86", {"FACTOR": 2})]
    source.write_text(TEXT + "// changed")
    others.append(build(source, "80", {"FACTOR": 2}))
    (source.parent / "beside.cuh").write_text("// a header")
    others.append(build(source, "80", {"FACTOR": 2}))
    nvrtc_here = nvrtc.find_nvrtc()
    monkeypatch.setattr(nvrtc_here, "version", "99.9")
    others.append(build(source, "80", {"FACTOR": 2}))
    assert len({built.cubin for built in [first, *others]}) == 6


@needs_nvrtc
def test_an_error_of_a_student_shows_file_line_and_source(source):
    source.write_text(TEXT.replace("if (i < n)", "if (i < m)"))
    with pytest.raises(CompileError) as error:
        build(source, "80", {"FACTOR": 2})
    assert str(error.value).startswith(
        f'{source}:5: error: identifier "m" is undefined; if (i < m)'
    )


@needs_nvrtc
def test_an_unknown_architecture_is_an_error(source):
    with pytest.raises(ValueError, match=r"NVRTC .* builds for .*, not for '12'"):
        build(source, "12")


@needs_nvrtc
def test_spills_and_instructions_are_seen(source):
    source.write_text(
        """
#include "mg_ptx.h"
extern "C" __global__ void __launch_bounds__(1024) many(const float* a, float* y) {
  float x[100];
  for (int i = 0; i < 100; i++) x[i] = a[i * 7 + threadIdx.x];
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < 100; i++) x[i] += x[(i + 1) % 100] * x[(i * 3) % 100];
  for (int i = 0; i < 100; i++) y[i * 5 + threadIdx.x] = x[i];
}
extern "C" __global__ void tensor(const float4* a, float* y) {
  __shared__ float4 tile[64];
  mg_copy16(&tile[threadIdx.x], &a[threadIdx.x]);
  mg_commit();
  mg_wait<0>();
  unsigned r[4];
  float d[4] = {}, s = a[9].x * a[9].y + a[9].z * a[9].w;
  mg_ldmatrix_x4(r, &tile[threadIdx.x]);
  mg_mma_f16(d, r, r);
  y[threadIdx.x] = d[0] + d[3] + __shfl_xor_sync(~0u, s, 1);
}
"""
    )
    reports = build(source, "80").kernels
    assert reports["many"].spills > 0
    assert reports["many"].stack > 0
    assert reports["many"].instructions == ()
    assert reports["tensor"].shared == 1024
    assert set(reports["tensor"].instructions) == set(nvrtc.INSTRUCTIONS) - {"wgmma"}


LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one' for 'sm_75'
ptxas info    : Function properties for one
ptxas         .     24 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem, 392 bytes cmem[0]
ptxas info    : Compiling entry function 'two' for 'sm_75'
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers
"""


def test_a_report_is_read_from_what_ptxas_says():
    ptx = (
        ".entry one(\n)\n{ mma.sync.aligned x; }\n.visible .entry two(\n)\n{ ld.global.v4.f32 y; }"
    )
    assert reports_of(LOG, ptx) == {
        "one": (40, 24, 24, 2048, ("mma",)),
        "two": (8, 0, 0, 0, ("load of 16 bytes",)),
    }


# --------------------------------------------------------------------------- where it is looked for


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without NVRTC; `tmp_path` is where Python finds packages."""
    for name in ("CUDA_PATH", "CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(nvrtc, "TOOLKIT", tmp_path / "toolkit")
    nvrtc.find_nvrtc.cache_clear()
    yield tmp_path
    nvrtc.find_nvrtc.cache_clear()


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no library")


def test_without_nvrtc_it_says_what_to_install(nowhere):
    with pytest.raises(NoNvrtcError, match=r'not installed: pip install "minigen\[nvrtc\]"'):
        nvrtc.find_nvrtc()
    assert nvrtc.report().startswith("NVRTC, the compiler of CUDA kernels, is not installed")


def test_without_the_headers_it_says_what_to_install(nowhere):
    put(nowhere / "nvidia" / "cuda_nvrtc" / "lib" / "libnvrtc.so.12")
    with pytest.raises(NoNvrtcError, match=r"cuda_fp16.h is not installed: pip install"):
        nvrtc.find_nvrtc()


def test_a_library_that_cannot_be_loaded_is_told(nowhere):
    wheels = nowhere / "nvidia"
    put(
        wheels / "cuda_nvrtc" / "lib" / "libnvrtc.so.12",
        wheels / "cuda_runtime" / "include" / "cuda_fp16.h",
    )
    with pytest.raises(NoNvrtcError, match="NVRTC cannot be loaded"):
        nvrtc.find_nvrtc()


@pytest.mark.parametrize(("cupy", "expected"), [(None, 13), (12, 12), (13, 13)])
def test_of_two_nvrtcs_it_takes_the_one_of_cupy_or_the_newest(nowhere, monkeypatch, cupy, expected):
    wheels = nowhere / "nvidia"
    put(
        wheels / "cuda_nvrtc" / "lib" / "libnvrtc.so.12",
        wheels / "cuda_runtime" / "include" / "cuda_fp16.h",
        wheels / "cu13" / "lib" / "libnvrtc.so.13",
        wheels / "cu13" / "include" / "cuda_fp16.h",
    )
    monkeypatch.setattr(nvrtc, "Nvrtc", lambda library, headers: library)
    monkeypatch.setattr(nvrtc, "_major_of_cupy", lambda: cupy)
    assert nvrtc._major(nvrtc.find_nvrtc()) == expected


@pytest.mark.parametrize(
    ("place", "headers"),
    [
        ("nvidia/cuda_nvrtc/bin/nvrtc64_120_0.dll", "nvidia/cuda_runtime/include"),
        ("nvidia/cu13/bin/x86_64/nvrtc64_130_0.dll", "nvidia/cu13/include"),
        ("prefix/lib/libnvrtc.so.12", "prefix/targets/x86_64-linux/include"),
        ("prefix/Library/bin/nvrtc64_120_0.dll", "prefix/Library/include"),
        ("toolkit/lib64/libnvrtc.so.12", "toolkit/include"),
    ],
)
def test_it_is_found_in_wheels_environments_and_toolkits(nowhere, monkeypatch, place, headers):
    put(nowhere / place, nowhere / headers / "cuda_fp16.h")
    monkeypatch.setattr(nvrtc, "Nvrtc", lambda library, headers: (library, headers))
    library, found = nvrtc.find_nvrtc()
    assert library == nowhere / place
    assert nowhere / headers in found
    assert nvrtc._major(library) in (12, 13)
