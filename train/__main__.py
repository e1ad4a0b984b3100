"""The command line of training, one subcommand a stage: `python -m train STAGE`. It only parses."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from train.calibrate import calibrate
from train.config import (
    RECIPES,
    CalibrateConfig,
    EvaluateConfig,
    FitConfig,
    PointConfig,
    PrepareConfig,
    PublishConfig,
    RefineConfig,
)
from train.evaluate import evaluate
from train.features import prepare
from train.fit import fit
from train.flags import add_flags, from_flags
from train.point import point
from train.publish import publish
from train.refine import refine


class Stage(NamedTuple):
    """One subcommand."""

    run: Callable[[Any], object]
    config_type: type[Any]


STAGES = {
    "prepare": Stage(prepare, PrepareConfig),
    "fit": Stage(fit, FitConfig),
    "refine": Stage(refine, RefineConfig),
    "point": Stage(point, PointConfig),
    "calibrate": Stage(calibrate, CalibrateConfig),
    "evaluate": Stage(evaluate, EvaluateConfig),
    "publish": Stage(publish, PublishConfig),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; the exit status: 0, 1 if data or files are unfit, or 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    subparsers = parser.add_subparsers(dest="stage", required=True)
    for name, stage in STAGES.items():
        summary = (stage.config_type.__doc__ or "").strip()
        stage_parser = subparsers.add_parser(
            name, help=summary, description=summary, allow_abbrev=False
        )
        add_flags(stage_parser, stage.config_type)
    flags = parser.parse_args(arguments)
    stage = STAGES[flags.stage]
    try:
        config = from_flags(stage.config_type, flags, RECIPES)
    except ValueError as error:
        parser.error(str(error))
    try:
        stage.run(config)
    except (ValueError, FileNotFoundError) as error:
        print(f"{parser.prog} {flags.stage}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
