"""Which tests are in the fast tier, `-m fast`: those that need little time and nothing installed.

A test is fast unless it is marked slow, or its code, its fixtures or the helpers that they call use
one of SLOW_NAMES. In the fast tier a file that imports one of ABSENT_PACKAGES is not even read.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

SLOW_NAMES = {
    *("Popen", "PhotoReader", "subprocess"),  # start processes
    *("hub_server", "serving", "sync_playwright"),  # start a server or a browser
    *("Meteor", "Scorer", "evaluate"),  # start Java
    *("fit", "refine", "point", "calibrate"),  # train
}
ABSENT_PACKAGES = ("pyarrow", "ray")
"""Packages that `tests/run -m fast` does not install."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests, before pytest selects tests by their marks."""
    for item in items:
        if item.get_closest_marker("slow") is None and not SLOW_NAMES & used_names(item):
            item.add_marker(pytest.mark.fast)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, in the fast tier, the files that could not be imported there."""
    if config.option.markexpr != "fast" or collection_path.suffix != ".py":
        return None
    imports = rf"^(import|from) ({'|'.join(ABSENT_PACKAGES)})\b"
    text = collection_path.read_text(encoding="utf-8")
    return True if re.search(imports, text, re.MULTILINE) else None


def used_names(item: pytest.Item) -> set[str]:
    """Find the names in the code of a test, of its fixtures, and of the helpers that they call."""
    assert isinstance(item, pytest.Function)
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    waiting: list[Any] = [item.function, *(definitions[-1].func for definitions in fixtures)]
    seen: set[FunctionType] = set()
    found: set[str] = set()
    while waiting:
        function = inspect.unwrap(waiting.pop())
        if isinstance(function, FunctionType) and function not in seen and is_of_tests(function):
            seen.add(function)
            names = set(names_in(function.__code__))
            found |= names
            called = (function.__globals__.get(name) for name in names)
            waiting += filter(callable, called)
    return found


def names_in(code: CodeType) -> Iterator[str]:
    """Yield the names in a function's code, and in that of functions defined inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_of_tests(function: FunctionType) -> bool:
    """Whether a function is defined in this folder or one in it."""
    return Path(function.__code__.co_filename).is_relative_to(Path(__file__).parent)
