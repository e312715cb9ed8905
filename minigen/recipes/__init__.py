"""Recipes: where data, model, optimiser and sampler meet; one module each, found by its name.

A recipe `minigen/recipes/<name>.py` has

    its docstring                   first line: for lists; the rest says what to expect: command,
                                    machine, minutes, the number, its spread over seeds, date
    Config                          a frozen dataclass of `option`s, shown by the command line too
    train(config, run)              builds all parts and calls minigen.train.train, which resumes
    sample(run, n, rng, *, ...)     -> pictures, uint8 (N, H, W, 3), or one picture (H, W, 3)
    evaluate(run, n, rng, *, ...)   -> {name: number} or a Report, measured on n samples

and, where its model has a way to a latent and back, for `minigen interpolate`

    encode(run, images)             uint8 (N, H, W, C) -> latents, float32 (N, ...)
    decode(run, latents)            -> uint8 (N, H, W, 3)
    SHAPE                           (H, W, C) of a picture where it is not (28, 28, 1)

and, where it paints captions, for `minigen paint`

    trained(run)                    -> (the settings, the network)
    draw(model, config, captions, rng, *, guidance, ...)       uint8 (N, H, W, 3)

where `run` is a RunFolder, or for all but train a WeightsFile. What stands after the `*` of sample
and evaluate, with a type and a default, becomes an option of `minigen sample MODEL` and
`minigen eval MODEL`.
"""

import importlib
import pkgutil
from types import ModuleType


def recipe_names() -> list[str]:
    """The modules in this folder; those with a leading underscore are shared by several."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_"))


def load_recipe(name: str) -> ModuleType:
    """The recipe's module.

    Raises: ValueError for a name that no recipe has.
    """
    if name not in recipe_names():
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(recipe_names())}")
    return importlib.import_module(f"{__name__}.{name}")
