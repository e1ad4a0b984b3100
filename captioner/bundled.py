"""Where the released checkpoint is. Needs no torch, so that the page can know it at once."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED, CLONED = PACKAGE / "released", PACKAGE.parent / "checkpoints"
"""Of an installed package, and in a clone of the repository."""
BUNDLED = INSTALLED if INSTALLED.is_dir() else CLONED
