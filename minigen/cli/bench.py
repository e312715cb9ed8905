"""Measure ops and whole steps, beside PyTorch where it is there; show where a step's time goes."""

import argparse
import importlib.util
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from minigen.backend import GPUError
from minigen.recipes import recipe_names

EXAMPLES = """examples:
  minigen bench --ops conv2d,softmax --rungs
  minigen bench --against torch --write               all of docs/benchmarks.md
  minigen bench --whole --only "sampling step" --against torch
  minigen bench --profile scenes
  MINIGEN_KERNELS=reference minigen bench --profile scenes --out before.png
  minigen bench --tune
  minigen bench --device cuda --against torch --write   the tables of kernels/README.md
  minigen bench --device cuda --ceilings 82.6,1.0       what a GPU of these TFLOP/s, TB/s needs

Numbers mean something on an idle machine only."""

FAILED = 1  # the exit code where something could not be measured


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    parser.add_argument("--ops", metavar="OP,OP", help="these ops, of those that --list shows")
    parser.add_argument("--whole", action="store_true", help="training and sampling steps")
    parser.add_argument("--only", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--rungs", action="store_true", help="the reference and every rung too")
    parser.add_argument("--against", choices=["torch"], help="PyTorch on the same device, in turns")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where (cpu)")
    parser.add_argument(
        "--ceilings",
        metavar="TFLOPS,TBS",
        help="with --device cuda: count what a GPU that can do so much needs, and time nothing",
    )
    parser.add_argument("--quick", action="store_true", help="tiny batches, to see that all runs")
    parser.add_argument("--write", action="store_true", help="bring the tables up to date")
    parser.add_argument(
        "--profile", metavar="RECIPE", help="where the time of a recipe's training step goes"
    )
    parser.add_argument("--out", metavar="PNG", help="the profile's chart (profile_RECIPE.png)")
    parser.add_argument(
        "--tune", action="store_true", help="time the rungs and note the fastest for this machine"
    )


def run(args: argparse.Namespace) -> int:
    if args.profile is not None:
        return _profile(args)
    if args.out is not None:
        raise ValueError("bench: --out names the chart of --profile, which is not given")
    if args.tune:
        return _tune(args)
    if args.device == "cuda":
        return _on_gpu(args)
    if args.ceilings is not None:
        raise ValueError("bench: --ceilings is for --device cuda")
    return _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from minigen.kernels.bench import report
    from minigen.kernels.bench.measure import Bench, How

    cases = _chosen(args)
    if args.list:
        print("\n".join(case.name for case in cases))
        return 0
    if args.against and importlib.util.find_spec("torch") is None:
        raise ValueError('bench: PyTorch is not installed: pip install "minigen[bench]"')
    docs = report.docs_folder(Path(__file__).resolve().parents[2]) if args.write else None
    if args.write and args.quick:
        raise ValueError("bench: --quick measures nothing that is worth writing down")
    results = []
    with Bench(How(bool(args.against), args.rungs, args.quick)) as bench:
        bar = tqdm(cases, unit="case", disable=not sys.stderr.isatty())
        for case in bar:
            bar.set_description(case.name)
            results.append(bench.run(case))
    print(report.text(results))
    if docs is not None:
        for path in report.write(results, docs, _command()):
            print(path, file=sys.stderr)
    failures = report.failures(results)
    for failure in failures:
        print("minigen: error:", failure, file=sys.stderr)
    return FAILED if failures else 0


def _chosen(args: argparse.Namespace) -> list[Any]:
    """The cases that the options name.

    Raises: ValueError for an op that has none, or where no case is left.
    """
    from minigen.kernels.bench.cases import listed

    return _named(args, listed(args.quick))


def _named(args: argparse.Namespace, cases: list[Any]) -> list[Any]:
    ops = _ops(args, {case.op for case in cases if case.kind in ("op", "backward")})
    if ops is not None or args.whole:
        steps = [case for case in cases if case.kind in ("whole", "memory")] if args.whole else []
        cases = [case for case in cases if case.op in (ops or [])] + steps
    if args.only is not None:
        cases = [case for case in cases if args.only in case.name]
    if not cases:
        raise ValueError(f"bench: no case is called {args.only!r}; --list shows them")
    return cases


def _ops(args: argparse.Namespace, known: set[str]) -> list[str] | None:
    if args.ops is None:
        return None
    ops: list[str] = args.ops.split(",")
    for op in ops:
        if op not in known:
            raise ValueError(
                f"bench: --ops has {op!r}, expected some of {', '.join(sorted(known))}"
            )
    return ops


# --------------------------------------------------------------------------------------------- GPU


def _on_gpu(args: argparse.Namespace) -> int:
    """Time it on the GPU, or without one count what it has to do."""
    from minigen.kernels.bench.gpu_cases import H200, floors, gpu_listed
    from minigen.kernels.gpu import require

    if args.write and (args.quick or args.ceilings):
        raise ValueError("bench: --quick and --ceilings measure nothing that is worth writing down")
    cases = _named(args, gpu_listed(args.quick))
    if args.list:
        print("\n".join(case.name for case in cases))
        return 0
    ceilings = None if args.ceilings is None else _ceilings(args.ceilings)
    if ceilings is None:
        try:
            require()
        except GPUError as error:
            if args.write:
                raise
            print(f"Nothing is timed: {error}.")
            ceilings = H200
    if ceilings is None:
        return _time_on_gpu(args, cases)
    print(floors(cases, ceilings))
    return 0


def _ceilings(text: str) -> Any:
    """Of "67,4.8". Raises: ValueError."""
    from minigen.kernels.bench.gpu_cases import Ceilings

    try:
        flops, copied = (float(number) for number in text.split(","))
    except ValueError:
        flops = copied = math.nan
    if not (0 < flops < math.inf and 0 < copied < math.inf):
        raise ValueError(
            f"bench: --ceilings is {text!r}, expected TFLOP/s and TB/s as in --ceilings 67,4.8"
        )
    return Ceilings({"fp32": flops * 1e12}, copied * 1e12, "as given")


def _time_on_gpu(args: argparse.Namespace, cases: list[Any]) -> int:
    from tqdm import tqdm

    from minigen.kernels.bench import gpu, gpu_report, gpu_whole

    how = gpu.How(args.quick)
    time_torch, about = None, gpu.device()
    if args.against:
        time_torch, more = _torch_on_gpu()
        about |= more
    about["command"] = _command()
    ceilings = gpu.measured_ceilings(how)
    print("; ".join(f"{name} {value}" for name, value in about.items()))
    print(gpu_report.about_ceilings(ceilings))
    rows = []
    bar = tqdm(cases, unit="case", disable=not sys.stderr.isatty())
    for case in bar:
        bar.set_description(case.name)
        time_ours = gpu_whole.time_whole if case.kind == "whole" else gpu.time_rungs
        rows += time_ours(case, how, ceilings)
        if time_torch is not None:
            rows += time_torch(case, how, ceilings)
    print(gpu_report.text(rows))
    if args.write:
        checkout = Path(__file__).resolve().parents[2]
        for path in gpu_report.write(rows, about, ceilings, checkout):
            print(path, file=sys.stderr)
    failures = gpu_report.failures(rows)
    for failure in failures:
        print("minigen: error:", failure, file=sys.stderr)
    return FAILED if failures else 0


def _torch_on_gpu() -> tuple[Any, dict[str, str]]:
    if importlib.util.find_spec("torch") is None:
        raise ValueError('bench: PyTorch is not installed: pip install "minigen[bench]"')
    import torch

    if not torch.cuda.is_available():
        raise ValueError(f"bench: PyTorch {torch.__version__} finds no GPU: install one for CUDA")
    from minigen.kernels.bench import gpu_torch

    return gpu_torch.time_torch, gpu_torch.settings()


def _command() -> str:
    return shlex.join(["minigen", *sys.argv[1:]])


def _profile(args: argparse.Namespace) -> int:
    from minigen.kernels.bench import profile

    if args.profile not in recipe_names():
        raise ValueError(
            f"bench: --profile has {args.profile!r}, expected one of {', '.join(recipe_names())}"
        )
    out = Path(args.out or f"profile_{args.profile}.png")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"bench: there is no folder {out.parent}")
    rows = profile.profile(args.profile, **({"steps": 1, "batch_size": 4} if args.quick else {}))
    print(profile.text(rows))
    profile.chart(rows, f"a training step of {args.profile}", out)
    print(out)
    return 0


def _tune(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from minigen.kernels.bench import tune
    from minigen.kernels.tuning import save

    if args.only is not None or args.write or args.against:
        raise ValueError("bench: --tune takes --ops and --quick, no other option")
    ops = _ops(args, set(tune.OPS))
    cases = tune.choices(ops, args.quick)
    bar = tqdm(cases, unit="case", disable=not sys.stderr.isatty())
    found = []
    for case in bar:
        bar.set_description(case.name)
        found += list(tune.entries(case, args.quick))
    for entry in found:
        times = ", ".join(f"{rung} {ms:g}" for rung, ms in entry["ms"].items())
        print(f"{entry['op']} {entry['shape']} in {entry['threads']} threads: ms {times}")
    if not found:
        print("no op has more than one rung that can run here")
    elif args.quick:
        print("not saved: --quick measures nothing to go by")
    else:
        print(save(found))
    return 0
