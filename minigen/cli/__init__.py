"""The command line: `minigen paint`, `train`, `sample`, `eval`, `doctor`, `bench`, `check`, ...

Every command is a module with `add_options(parser, words)` and `run(args)`; only the one that was
asked for is imported. Exit codes: 0; 1 for a run that failed; 2 for a wrong input, with one line
that says what is wrong; 130 after Ctrl-C.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from minigen import __version__
from minigen.backend import GPUError, KernelError, use_kernels
from minigen.cli.options import Parser

COMMANDS = {
    "paint": "draw pictures from prompts",
    "stylize": "paint a picture in the manner of another",
    "translate": "turn pictures into another kind of picture",
    "train": "train a recipe's model, or go on with a run",
    "sample": "draw samples from a run's model",
    "eval": "measure a run's model",
    "interpolate": "walk from one picture to another through a model's latents",
    "data": "prepare pictures of your own for a training",
    "doctor": "say what is installed and what will run where",
    "bench": "measure ops and whole steps, beside PyTorch",
    "warmup": "compile the kernels ahead",
    "emulate": "run a CUDA kernel on the CPU, and look for its mistakes",
    "check": "run a kernel of your own beside the reference",
}

EXAMPLES = """examples:
  minigen paint "a large red circle above a small blue square on a white background"
  minigen train toy_flow
  minigen train scenes --resume runs/scenes-1
  minigen sample runs/toy_flow-1 -n 16 --out samples.png
  minigen doctor

MINIGEN_KERNELS chooses the implementations (reference, auto, auto,conv2d=NAME); here it is auto."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if words is None else list(words)
    kernels = nullcontext() if os.environ.get("MINIGEN_KERNELS") else use_kernels("auto")
    with _messages(), kernels:
        try:
            code = _dispatch(words)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # the reader, as in `minigen doctor | head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception as error:
            failed = _exit_code(error)
            if failed is None or "--traceback" in words:
                raise
            print("minigen: error:", _line(error), file=sys.stderr)
            return failed


def _dispatch(words: list[str]) -> int:
    parser = Parser(
        prog="minigen",
        description="Generative models from scratch: train them, paint with them.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"minigen {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        if words and words[0] == name:  # the others are only listed
            module = importlib.import_module(f"minigen.cli.{name}")
            command = commands.add_parser(name, help=summary, epilog=module.EXAMPLES)
            command.description = module.__doc__
            command.add_argument(
                "--traceback", action="store_true", help="with an error, show where it arose"
            )
            module.add_options(command, words[1:])
        else:
            commands.add_parser(name, help=summary)
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:  # after --help, --version or a wrong option
        return int(stop.code or 0)
    if args.command is None:
        parser.print_help()
        return 0
    return module.run(args)


def _exit_code(error: Exception) -> int | None:
    """1 for a run that failed, 2 for a wrong input, None for what must be a bug."""
    from minigen.kernels.cpu import NoCompilerError
    from minigen.train import NotFiniteError, SaveError

    if isinstance(error, SaveError | NotFiniteError | MemoryError | NoCompilerError):
        return 1
    return 2 if isinstance(error, ValueError | OSError | KernelError | GPUError) else None


def _line(error: Exception) -> str:
    """The error and its notes in one line."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) and not isinstance(error, GPUError):
        text = f"out of memory: {text or 'try smaller batches'}"
    return " ".join("; ".join([text, *getattr(error, "__notes__", [])]).split())


@contextmanager
def _messages() -> Iterator[None]:
    """Inside the block the library's messages appear on stderr."""
    log, handler = logging.getLogger("minigen"), _Messages()
    level = log.level
    before = _compiled()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        if _compiled() > before:
            log.info("%s", sys.modules["minigen.kernels.jit"].compiling.report())
        log.removeHandler(handler)
        log.setLevel(level)


def _compiled() -> int:
    """How many functions Numba has compiled in this process."""
    jit = sys.modules.get("minigen.kernels.jit")  # only where a kernel was asked for
    return jit.compiling.functions if jit else 0


class _Messages(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"minigen: {record.levelname.lower()}: {text}"
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)  # above the bar, not through it
        else:
            print(text, file=sys.stderr)
