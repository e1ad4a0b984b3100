"""Checks of configuration fields, whose values may come from a stranger's file."""

import dataclasses
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def short(value: object) -> str:
    """The value's repr, cut in the middle where it is long; control characters are escaped."""
    return _SHORT.repr(value)


def check_fields(config: type, data: object) -> Mapping[str, Any]:
    """Check that plain data names only fields of a dataclass.

    Returns:
        The data.

    Raises:
        ValueError: it is no mapping, or has an unknown field.
    """
    name = config.__name__
    if not isinstance(data, Mapping):
        raise ValueError(f"{name} must be a JSON object, got {short(data)}")
    known = {field.name for field in dataclasses.fields(config)}
    if unknown := data.keys() - known:
        raise ValueError(f"{name} has no field {short(min(unknown))}")
    return data


def check_integer(field: str, value: object, low: int, high: int) -> None:
    """Check that a field is a whole number in a range, and neither a bool nor a float.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field} must be a whole number, got {short(value)}")
    if value < low:
        raise ValueError(f"{field} must be at least {low}, got {short(value)}")
    if value > high:
        raise ValueError(f"{field} must be at most {high}, got {short(value)}")


def check_number(field: str, value: object, low: float, high: float) -> None:
    """Check that a field is a number in a range, and no bool; NaN is in no range.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{field} must be a number, got {short(value)}")
    if not low <= value <= high:
        raise ValueError(f"{field} must be from {low:g} to {high:g}, got {short(value)}")


def check_numbers(field: str, values: Any, count: int, low: float, high: float) -> None:
    """Check that a field is a tuple of so many numbers in a range.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(values, tuple):
        raise ValueError(f"{field} must be a list of {count} numbers, got {short(values)}")
    if len(values) != count:
        raise ValueError(f"{field} must have {count} values, got {len(values)}")
    for value in values:
        check_number(field, value, low, high)


def check_flag(field: str, value: object) -> None:
    """Check that a field is true or false.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{field} must be true or false, got {short(value)}")


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Check that a field has one of a few values.

    Raises:
        ValueError: it has not.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{field} must be {' or '.join(choices)}, got {short(value)}")
