"""Prepare a folder of pictures for a training, and say what was done and what was dropped.

Broken pictures and copies are left out; the others are decoded safely, turned upright, cropped,
resized without aliasing, and get captions. On demand noise is removed, the foreground found, the
contrast stretched, and variants added. The originals are only read. What was stopped goes on when
the same command is given again."""

import argparse
import errno
import sys
from pathlib import Path

from minigen.cli.options import add_settings, given, settings_of_config
from minigen.data.prepare.settings import Settings

EXAMPLES = """examples:
  minigen data prepare photos --out prepared
  minigen data prepare photos --out prepared --size 32 --crop pad --captions folders
  minigen data prepare photos --out prepared --crop foreground --background white
  minigen data prepare photos --out prepared --denoise --normalise --augment 3
  minigen data prepare letters --out prepared --augment 3 --kinds crop colour
  minigen data prepare photos --out prepared --copies none

--denoise, --crop foreground and --background white need pip install "minigen[data]". The report
with pictures before and after is OUT/report.html. In Python, minigen.data.folder reads OUT."""


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    parser.add_argument("what", metavar="prepare", choices=["prepare"], help="what to do")
    parser.add_argument("folder", metavar="FOLDER", help="pictures, also in subfolders")
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help="where the new pictures go; new, or resumed"
    )
    add_settings(parser, settings_of_config(Settings), "options")


def run(args: argparse.Namespace) -> int:
    from minigen.data.prepare import prepare, summary, write_report
    from minigen.train import SaveError

    settings = Settings(**given(args, settings_of_config(Settings)))
    try:
        pictures = prepare(args.folder, args.out, settings)
        report = write_report(pictures, Path(args.out), settings)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SaveError(f"{error}; with more space, the same command goes on") from error
    print(summary(pictures))
    print(report)
    return 0
