"""The metadata that a README.md on the Hugging Face Hub begins with: of a model, and of a Space.

Knows files and YAML; nothing of the Hub's protocol.
"""

import re
from pathlib import Path

import yaml
from huggingface_hub import CardData, RepoCard

from captioner.checkpoint import CARD_FILE

MODEL_FIELDS = ("license", "language", "pipeline_tag", "library_name", "tags")
"""What the Hub sorts models by, and a visitor needs to know."""
PIPELINE_TAG = "image-to-text"

SPACE_FIELDS = ("title", "license", "sdk", "sdk_version", "python_version", "app_file")
APP_FILE, REQUIREMENTS_FILE = "app.py", "requirements.txt"
PYTHON_VERSION = "3.12"
"""The only one that ZeroGPU offers (3.10 and 3.12) and this program runs on (3.11 or newer)."""


def require_model_card(folder: Path) -> None:
    """Raise ValueError unless a checkpoint folder has a model card that the Hub understands."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no model card; write its {CARD_FILE}")
    _require_values(path, _read_metadata(path, MODEL_FIELDS), {"pipeline_tag": PIPELINE_TAG})


def require_space_card(checkout: Path) -> None:
    """Raise ValueError unless a checkout's README.md configures a Space that can run its page."""
    path = checkout / CARD_FILE
    requirements = (checkout / REQUIREMENTS_FILE).read_text(encoding="utf-8")
    pinned = re.search(r"^gradio==(\S+)$", requirements, re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{checkout / REQUIREMENTS_FILE} must pin gradio, as gradio==VERSION")
    wanted = {
        "sdk": "gradio",
        "sdk_version": pinned[1],
        "python_version": PYTHON_VERSION,
        "app_file": APP_FILE,
    }
    _require_values(path, _read_metadata(path, SPACE_FIELDS), wanted)


def _read_metadata(path: Path, fields: tuple[str, ...]) -> CardData:
    try:
        metadata = RepoCard.load(path).data
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} does not begin with metadata in YAML: {error}") from error
    missing = [field for field in fields if not metadata.get(field)]
    if missing:
        raise ValueError(f"{path} must begin with metadata; it lacks {', '.join(missing)}")
    return metadata


def _require_values(path: Path, metadata: CardData, wanted: dict[str, str]) -> None:
    for field, value in wanted.items():
        if metadata.get(field) != value:
            raise ValueError(f"{path}: {field} must be {value!r}, got {metadata.get(field)!r}")
