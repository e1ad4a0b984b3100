"""The git checkout that this program is in, and which of its files a Space gets.

Knows git and files; nothing of the Hugging Face Hub.
"""

import re
import subprocess
from pathlib import Path

from captioner.checkpoint import CARD_FILE
from train.cards import APP_FILE, REQUIREMENTS_FILE

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIRED_FILES = (APP_FILE, REQUIREMENTS_FILE, CARD_FILE)
OTHER_PARTS = ("captioner", "checkpoints", "LICENSE")
"""Further files and folders that a Space gets; it also gets the pictures in the README."""


def space_files(checkout: Path) -> list[str]:
    """List the committed files of a checkout that a Space needs.

    Returns:
        Paths from the checkout on, with slashes, sorted.

    Raises:
        ValueError: it is not a git checkout of this program, or one of these files is not
            committed as it is.
    """
    files = tracked_space_files(checkout)
    status = _git(
        checkout,
        *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"),
        *_parts(checkout),
    )
    changed = [entry[3:] for entry in status.split("\0") if entry]
    if changed:
        raise ValueError(
            f"{checkout} has uncommitted changes in what a Space gets: "
            f"{', '.join(changed[:3])}{' and others' if changed[3:] else ''}; commit or undo them"
        )
    return files


def tracked_space_files(checkout: Path) -> list[str]:
    """List the files of a checkout that a Space needs, whether or not they have been changed.

    Raises:
        ValueError: it is not a git checkout of this program.
    """
    if Path(_git(checkout, "rev-parse", "--show-toplevel").rstrip("\n")).resolve() != checkout:
        raise ValueError(f"{checkout} is not a git checkout; publish a Space from a clone")
    files = sorted(filter(None, _git(checkout, "ls-files", "-z", *_parts(checkout)).split("\0")))
    missing = [name for name in REQUIRED_FILES if name not in files]
    if missing:
        raise ValueError(f"{checkout} does not track {', '.join(missing)}, which a Space needs")
    return files


def _parts(checkout: Path) -> list[str]:
    card = checkout / CARD_FILE
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)
    return [*REQUIRED_FILES, *OTHER_PARTS, *(path for path in pictures if "://" not in path)]


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "--literal-pathspecs", *arguments]
    try:
        return subprocess.run(
            command, cwd=checkout, capture_output=True, check=True, encoding="utf-8"
        ).stdout
    except FileNotFoundError as error:
        raise ValueError("a Space is published from a git checkout, and there is no git") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"{checkout} is not a git checkout; publish a Space from a clone "
            f"({error.stderr.strip()})"
        ) from error
