"""The fast tier has the tests that start nothing, however indirectly a test would start it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import serving

PAUSES = iter([])
"""What never comes: the helpers below are named here, not called."""


def start_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.fixture
def process() -> object:
    return [start_a_process for _ in PAUSES]


def test_a_test_that_starts_nothing_is_fast(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("fast")


def test_a_test_that_calls_what_starts_a_process_is_not(request: pytest.FixtureRequest) -> None:
    for _ in PAUSES:
        start_a_process()
    assert not request.node.get_closest_marker("fast")


@pytest.mark.usefixtures("process")
def test_a_test_whose_fixture_starts_a_process_is_not(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("fast")


def test_a_test_that_serves_the_page_in_an_inner_function_is_not(
    request: pytest.FixtureRequest,
) -> None:
    def serve() -> object:
        return serving(None, Path())  # pyright: ignore[reportArgumentType]

    assert callable(serve)
    assert not request.node.get_closest_marker("fast")


@pytest.mark.slow
def test_a_test_that_is_marked_slow_is_not(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("fast")
