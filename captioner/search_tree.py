"""A beam search as plain data: what it considered at each step. Knows text and numbers alone."""

from dataclasses import dataclass
from typing import Any

from captioner.captions import PROBABILITY_PLACES, SCORE_PLACES


@dataclass(frozen=True)
class Candidate:
    """A word, or the end, that a beam search considered after the words of its parent."""

    text: str
    """The word as the search found it: a caption may have "an" for its "a", or the reverse. Empty
    for the end."""
    parent: int
    """Index among the candidates of the step before; -1 at the first step."""
    probability: float
    """The model's, after the words before it, 0 to 1."""
    logprob: float
    """Log-probability of all words so far, in nats; with that of ending after them at an end."""
    kept: bool
    """Whether it was among those that the beam held after this step."""
    ended: bool
    """Whether it is the end of a caption."""
    best: bool
    """Whether it is of the caption that the search found best."""


@dataclass(frozen=True)
class SearchTree:
    """What a beam search considered for one photo."""

    steps: tuple[tuple[Candidate, ...], ...]
    """For each step the candidates for its word: those kept, then as many at most that were not,
    each from the most to the least probable caption so far."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data: `steps`, with the fields of each candidate, numbers to 4 places."""
        return {
            "steps": [
                [
                    {
                        **vars(candidate),
                        "probability": round(candidate.probability, PROBABILITY_PLACES),
                        "logprob": round(candidate.logprob, SCORE_PLACES),
                    }
                    for candidate in step
                ]
                for step in self.steps
            ]
        }
