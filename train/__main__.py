"""The command line of training, one subcommand a stage: `python -m train STAGE`. Only parses."""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from train.config import (
    EvaluateConfig,
    FitConfig,
    PrepareConfig,
    PublishConfig,
    RefineConfig,
    add_flags,
    from_flags,
)
from train.evaluate import evaluate
from train.features import prepare
from train.loop import fit
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
    "evaluate": Stage(evaluate, EvaluateConfig),
    "publish": Stage(publish, PublishConfig),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; 0 when it went well, 1 when its data do not allow it, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    subparsers = parser.add_subparsers(dest="stage", required=True)
    for name, stage in STAGES.items():
        summary = (stage.config_type.__doc__ or "").strip()
        add_flags(subparsers.add_parser(name, help=summary, description=summary), stage.config_type)
    flags = parser.parse_args(arguments)
    stage = STAGES[flags.stage]
    try:
        config = from_flags(stage.config_type, flags)
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
