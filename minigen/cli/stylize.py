"""Paint a picture in the manner of another.

--method gatys changes the pixels until a network sees the content's things and the style's
surface: a minute, and the better picture. --method adain paints it in one pass of a trained
network. Both see by the features that ship; gatys also by a VGG of yours, such as torchvision's
vgg19 in safetensors. Pictures larger than --size are reduced. Ctrl-C keeps the picture so far.
"""

import argparse
import json
import logging
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from minigen.cli.options import number
from minigen.parallel import one_blas_thread

EXAMPLES = """examples:
  minigen stylize photo.png --style starry.png --out night.png
  minigen stylize photo.png --style starry.png --method adain --strength 0.7
  minigen stylize photo.png --style ink.png oil.png --mix 1 3 --method adain
  minigen stylize photo.png --style starry.png --keep-colour --size 384 --steps 300
  minigen stylize photo.png --style starry.png --features vgg19.safetensors"""

_log = logging.getLogger("minigen")


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    add = parser.add_argument
    add("content", metavar="CONTENT", help="the picture to be painted")
    add("--style", nargs="+", required=True, metavar="FILE", help="how: one picture, or several")
    add("--mix", nargs="+", type=number(float, 0), metavar="W", help="weights of several styles")
    add("--out", metavar="FILE.png", help="where to put it (default: CONTENT-STYLE.png, here)")
    add("--method", choices=["gatys", "adain"], default="gatys", help="(default: gatys)")
    add(
        "--strength",
        type=number(float, 0),
        default=1.0,
        metavar="S",
        help="of the style: adain 0 to 1; gatys any factor of its weight (default: 1)",
    )
    add("--keep-colour", action="store_true", help="paint the brightness only")
    add("--size", type=number(int, 16), default=256, metavar="N", help="longer side (default: 256)")
    add("--style-size", type=number(int, 16), metavar="N", help="of the styles (default: --size)")
    only = parser.add_argument_group("gatys only")
    only.add_argument("--steps", type=number(int, 1), metavar="K", help="of the minimiser")
    only.add_argument("--optimizer", choices=["lbfgs", "adam"], help="(default: lbfgs)")
    only.add_argument("--start", choices=["content", "noise"], help="(default: content)")
    only.add_argument("--seed", type=number(int, 0), metavar="S", help="of the noise (default: 0)")
    only.add_argument("--features", metavar="NAME|FILE", help="a VGG (default: texture_features)")
    group = parser.add_argument_group("adain only")
    group.add_argument("--model", metavar="NAME|RUN", help="a trained decoder (default: adain)")


GATYS_ONLY, ADAIN_ONLY = ("steps", "optimizer", "start", "seed", "features"), ("model",)


def run(args: argparse.Namespace) -> int:
    for name in ADAIN_ONLY if args.method == "gatys" else GATYS_ONLY:
        if getattr(args, name) is not None:
            other = "adain" if args.method == "gatys" else "gatys"
            raise ValueError(f"stylize: --{name} is for --method {other}")
    if args.mix and len(args.mix) != len(args.style):
        raise ValueError(f"stylize: {len(args.style)} styles have {len(args.mix)} weights in --mix")
    out = _out(args)
    content = _load(args.content, args.size)
    styles = [_load(path, args.style_size or args.size) for path in args.style]
    with one_blas_thread():  # the kernels have threads of their own
        painted, stopped = _paint(args, content, styles)
    _save(out, painted, args)
    print(out)
    return 130 if stopped else 0


def _paint(
    args: argparse.Namespace, content: np.ndarray, styles: list[np.ndarray]
) -> tuple[np.ndarray, bool]:
    """The picture, and whether Ctrl-C ended it early."""
    from minigen.models.style.neural_style import brightness, keep_colours

    shown = content
    if args.keep_colour:
        content, *styles = (brightness(x) for x in (content, *styles))
    painted, stopped = (_gatys if args.method == "gatys" else _adain)(args, content, styles)
    return (keep_colours(painted, shown) if args.keep_colour else painted), stopped


def _adain(
    args: argparse.Namespace, content: np.ndarray, styles: list[np.ndarray]
) -> tuple[np.ndarray, bool]:
    from minigen import weights
    from minigen.models.style.adain import stylize
    from minigen.recipes.adain import trained
    from minigen.train import open_model

    found = open_model(weights.find(args.model or "adain"))
    if found.recipe != "adain":
        raise ValueError(f"stylize: {args.model} is a model of {found.recipe}, expected adain")
    model = trained(found)
    return stylize(model, content, styles, weights=args.mix, strength=args.strength), False


def _gatys(
    args: argparse.Namespace, content: np.ndarray, styles: list[np.ndarray]
) -> tuple[np.ndarray, bool]:
    from tqdm import tqdm

    from minigen.models.style.neural_style import NeuralStyleConfig, transfer
    from minigen.recipes.texture_features import vgg

    own = {name: getattr(args, name) for name in ("steps", "optimizer", "start")}
    config = NeuralStyleConfig(**{name: value for name, value in own.items() if value is not None})
    config = replace(config, style_weight=config.style_weight * args.strength)
    network = vgg(args.features or "texture_features")
    rng = np.random.default_rng(args.seed or 0)
    so_far: list[np.ndarray] = [content]
    first: list[float] = []
    with tqdm(total=config.steps, desc="painting", unit="step", leave=False) as bar:

        def look(step: int, numbers: dict[str, float], picture: np.ndarray) -> None:
            so_far[0] = picture
            first.append(numbers["total"])
            bar.set_postfix(
                {name: f"{value:.3g}" for name, value in numbers.items()}, refresh=False
            )
            bar.update(step - bar.n)

        try:
            painted = transfer(
                network, content, styles, config, rng, weights=args.mix, callback=look
            )
        except KeyboardInterrupt:
            if len(first) < 2:
                raise  # there is no picture yet
            _log.info("stopped after step %d of %d", len(first) - 1, config.steps)
            return so_far[0], True
    _log.info(
        "%d steps: the loss fell from %.3g to %.3g, by %.1f %%",
        *(len(first) - 1, first[0], first[-1], 100 * (1 - first[-1] / first[0])),
    )
    return painted, False


def _load(path: str, size: int) -> np.ndarray:
    """A picture (1, H, W, 3) in [-1, 1], its longer side at most `size`."""
    from PIL import Image

    from minigen.data.pixels import open_rgb, to_float

    image = open_rgb(path)
    scale = size / max(image.size)
    if scale < 1:
        width, height = (max(1, round(scale * n)) for n in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return to_float(np.asarray(image)[None])


def _out(args: argparse.Namespace) -> Path:
    """Where the picture is to stand; without --out a name that is free.

    Raises: ValueError for another ending than .png, FileNotFoundError where there is no folder.
    """
    if args.out is None:
        name = "-".join(Path(file).stem for file in (args.content, *args.style))
        names = (Path(f"{name}{f'-{i}' if i > 1 else ''}.png") for i in count(1))
        return next(path for path in names if not path.exists())
    path = Path(args.out)
    if path.suffix.lower() != ".png":
        raise ValueError(f"stylize: --out is {path}, expected a name that ends in .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"stylize: there is no folder {path.parent}")
    return path


def _save(path: Path, picture: np.ndarray, args: argparse.Namespace) -> None:
    """With the settings in the file's text."""
    from minigen.data.pixels import save_png, to_uint8

    settings = {k: v for k, v in vars(args).items() if k not in ("command", "traceback", "out")}
    save_png(path, to_uint8(picture)[0], {"minigen": json.dumps(settings)})
