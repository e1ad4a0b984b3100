"""Caption scores: pycocoevalcap's, on references as people wrote them.

Knows texts; knows nothing of models. Needs a Java runtime for the PTB tokenizer and METEOR.
"""

import contextlib
import io
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

Texts = Mapping[str, Sequence[str]]


class Scorer:
    """Scores captions of a set of photos; tokenizes its references once."""

    def __init__(self, references: Texts) -> None:
        """Take the references.

        Args:
            references: by photo name, the raw captions people wrote.

        Raises:
            FileNotFoundError: there is no Java runtime.
        """
        if shutil.which("java") is None:
            raise FileNotFoundError(
                "scoring needs Java; install a runtime (Debian: apt install default-jre-headless)"
            )
        self._references = _tokenize(references)

    def score(self, captions: Mapping[str, str], meteor: bool = False) -> dict[str, float]:
        """Score one caption per photo, times 100.

        Args:
            captions: by photo name, for exactly the photos that have references.
            meteor: score METEOR too, which takes some seconds.

        Returns:
            BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D and perhaps METEOR.

        Raises:
            ValueError: captions and references are not of the same photos.
        """
        if captions.keys() != self._references.keys():
            raise ValueError(
                f"captions are of {len(captions)} photos, references of {len(self._references)}; "
                "they must be the same photos"
            )
        hypotheses = _tokenize({name: [text] for name, text in captions.items()})
        scores: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()):  # Bleu prints its lengths
            bleu, _ = Bleu(4).compute_score(self._references, hypotheses)
            scores |= {f"BLEU-{n}": value for n, value in enumerate(bleu, start=1)}
            if meteor:
                scores["METEOR"] = _meteor(self._references, hypotheses)
            scores["ROUGE-L"], _ = Rouge().compute_score(self._references, hypotheses)
            scores["CIDEr-D"], _ = Cider().compute_score(self._references, hypotheses)
        return {name: 100 * float(value) for name, value in scores.items()}


def _meteor(references: dict[str, list[str]], hypotheses: dict[str, list[str]]) -> float:
    scorer = Meteor()
    with scorer.meteor_p:  # closes the pipes and waits, which the package leaves undone
        score, _ = scorer.compute_score(references, hypotheses)
        scorer.meteor_p.kill()
    return score


def _tokenize(texts: Texts) -> dict[str, list[str]]:
    return PTBTokenizer().tokenize(
        {name: [{"caption": text} for text in group] for name, group in texts.items()}
    )
