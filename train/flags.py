"""Dataclass fields as command-line flags: one field is a flag, its default, its help and its type.

Knows nothing of what the settings mean.
"""

import argparse
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin


class Condition(NamedTuple):
    """When a setting has an effect; a flag that is given in vain is refused."""

    text: str
    """Completes "has an effect only ...", such as "with --boxes"."""
    holds: Callable[[Any], bool]
    """Takes the configuration."""


def setting(default: Any, help: str, only: Condition | None = None) -> Any:
    """A dataclass field with its default and the help of its flag; MISSING makes it required."""
    return field(default=default, metadata={"help": help, "only": only})


def require_at_least(config: Any, lowest: Mapping[str, int]) -> None:
    """Raise ValueError naming field, limit and value, for the first field below its limit."""
    for name, low in lowest.items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} must be at least {low}, got {getattr(config, name)}")


def require_share(config: Any, *names: str) -> None:
    """Raise ValueError unless each field is at least 0 and below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(config, name)}")


def add_flags(parser: argparse.ArgumentParser, config_type: type[Any]) -> None:
    """Add one --kebab-case flag per field. Only flags that are given end up in the namespace."""
    hints = typing.get_type_hints(config_type)
    for item in dataclasses.fields(config_type):
        options: dict[str, Any] = {
            "dest": item.name,
            "help": item.metadata["help"],
            "default": argparse.SUPPRESS,
            "required": item.default is MISSING,
        }
        if item.metadata["only"] is not None:
            options["help"] += f"; only {item.metadata['only'].text}"
        if item.default not in (MISSING, None, ()):
            options["help"] += f" (default: {item.default})"
        options["help"] = options["help"].replace("%", "%%")  # argparse formats it
        options |= _type_options(hints[item.name])
        parser.add_argument(_flag(item.name), **options)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _type_options(hint: Any) -> dict[str, Any]:
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is types.UnionType:  # "Path | None"
        return {"type": get_args(hint)[0]}
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        # A flag per path, so that the paths of a data set can stand together.
        return {"type": kind} | ({"action": "append"} if kind is Path else {"nargs": "+"})
    return {"type": hint}


C = TypeVar("C")


def from_flags(
    config_type: type[C],
    flags: argparse.Namespace,
    recipes: Mapping[str, Mapping[str, Any]] | None = None,
) -> C:
    """Build a configuration: flags override the recipe's values, which override the defaults.

    Args:
        flags: of a parser that `add_flags` was called with.
        recipes: values by the name of the recipe, which the field `recipe` holds.

    Raises:
        ValueError: a value is out of range, or a flag was given that has no effect.
    """
    items = {item.name: item for item in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(flags).items() if name in items}
    recipe = {}
    if recipes is not None and "recipe" in items:
        recipe = recipes[given.get("recipe", items["recipe"].default)]
    values = {name: value for name, value in {**recipe, **given}.items() if name in items}
    config = config_type(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )
    for name in given:
        only: Condition | None = items[name].metadata["only"]
        if only is not None and not only.holds(config):
            raise ValueError(f"{_flag(name)} has an effect only {only.text}")
    return config


def to_json(config: Any) -> dict[str, Any]:
    """The configuration as plain data, for a run's config.json."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
