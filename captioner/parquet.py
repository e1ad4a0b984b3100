"""Captions as rows of Parquet files in a folder. Knows no model and no Ray.

Needs pyarrow, from `pip install "captioner[ray]"`. Importing this module does not import it.
"""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.captions import Caption

if TYPE_CHECKING:
    import pyarrow as pa


def row_schema() -> "pa.Schema":
    """The columns of a captioned photo; all but `photo` may be null.

    `probabilities`, `recognized`, `blind`, `entropy` and `ending` hold a number for each word;
    `familiarity` and the numbers of `blind` are null for a model that does not give them.

    `alphas` holds for each word its attention on all regions, row by row, and `grid` the numbers of
    rows and columns: `np.stack(row["alphas"]).reshape(-1, *row["grid"])`.
    """
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    return pa.schema(
        {
            "photo": pa.string(),
            "caption": pa.string(),
            "score": pa.float64(),
            "perplexity": pa.float64(),
            "words": pa.list_(pa.string()),
            "probabilities": numbers,
            "recognized": numbers,
            "blind": numbers,
            "entropy": numbers,
            "ending": numbers,
            "familiarity": pa.float64(),
            "alphas": pa.list_(numbers),
            "grid": pa.list_(pa.int32()),
            "error": pa.string(),
        }
    )


def row_of(path: str | None, result: Caption | OSError | ValueError) -> dict[str, Any]:
    """The row of a photo, from its caption or from the error why it has none."""
    photo = None if path is None else plain_text(path)
    if not isinstance(result, Caption):
        return {"photo": photo, "error": plain_text(str(result))}
    return {
        "photo": photo,
        "caption": str(result),
        "score": result.score,
        "perplexity": result.perplexity,
        "words": [word.text for word in result.words],
        "probabilities": [word.probability for word in result.words],
        "recognized": [word.recognized for word in result.words],
        "blind": [word.blind for word in result.words],
        "entropy": [word.entropy for word in result.words],
        "ending": [word.ending for word in result.words],
        "familiarity": result.familiarity,
        "alphas": [word.alpha.ravel().tolist() for word in result.words],
        "grid": list(result.grid),
    }


def read_errors(folder: Path) -> dict[str, str | None]:
    """The photos in a folder of captions, each with its error, or None if it was captioned.

    Raises:
        OSError, ValueError: a file in it cannot be read, or does not hold captions.
    """
    import pyarrow.parquet as pq

    errors: dict[str, str | None] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            table = pq.ParquetFile(path).read(["photo", "error"])
            errors |= zip(*(table[name].to_pylist() for name in ("photo", "error")), strict=True)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a file of captions; name another folder") from error
    return errors


def write_tables(tables: "Iterable[pa.Table]", folder: Path) -> "Iterator[pa.Table]":
    """Write each table to a Parquet file of its own, and yield it once it is written.

    A file gets its name when it is complete. The names are new in every run.
    """
    import pyarrow.parquet as pq

    run = uuid.uuid4().hex[:12]
    for number, table in enumerate(tables):
        path = folder / f"captions-{run}-{number:05d}.parquet"
        partial = folder / f".{path.name}.part"  # readers of Parquet folders skip hidden files
        try:
            pq.write_table(table, partial)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
        yield table


def plain_text(text: str) -> str:
    r"""Text that Parquet takes: bytes of a path that are not Unicode become such as \xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
