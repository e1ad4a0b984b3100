"""Pointing: naming what the encoder recognizes where the decoder looks.

Knows features, probabilities and token ids; knows nothing of photos or of words as text. Shape
letters are those of `captioner.model`; C is the number of classes, L of different nouns for them,
U of the words that are a form of one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GATE_SIZE = 32
CLOSED = -3.0
"""Where the gate starts, as a logit: 5 % of the probability goes to what is recognized."""
FEW_PLURALS = -2.0
WHOLE = 0.25
"""Weight of the whole photo beside what the decoder looks at."""
SIGNS = 8
"""Numbers that the gate decides by, besides the hidden state."""
LEAST = 1e-6
"""Probabilities below are alike to the gate."""


class Mixture(NamedTuple):
    """The distribution of the next word, and what is mixed in it."""

    logprobs: Tensor  # (N, V)
    vocabulary: Tensor  # (N, V), log-probabilities by the decoder's output layer
    closed: Tensor  # (N, 1), logarithm of the share that these have, log(1 - g)

    def recognized(self, token_ids: Tensor) -> Tensor:
        """The share of the probability of words (N,) that was read off the photo, (N,), 0 to 1."""
        chosen = token_ids.unsqueeze(1)
        said = self.vocabulary.gather(1, chosen) + self.closed - self.logprobs.gather(1, chosen)
        return (1 - said.exp()).clamp(0, 1).squeeze(1)


class PointingGate(nn.Module):
    """Mixes the nouns recognized where the decoder looks into the distribution of the next word.

    P(w) = (1 - g) P_vocabulary(w) + g P_seen(w). P_seen is what the encoder's own classifier makes
    of the regions' features, averaged with the word's attention; g, the gate, depends on both
    distributions and on the decoder's hidden state. The classifier is never trained here.

    Source: after Li et al., LSTM-P (arXiv:1904.11251), sec. 3, and See et al.
    (arXiv:1704.04368), sec. 2.2; here what is copied belongs to the regions attended to.
    """

    nouns: Tensor  # (L, 2), the singular and the plural as columns of `words`
    noun_of_class: Tensor  # (C,)
    words: Tensor  # (U,), token ids, ascending
    sharpness: nn.Parameter  # (), logarithm of what the classifier's logits are multiplied by
    nameable: nn.Parameter  # (C,), how much seeing each class opens the gate, as a logit

    def __init__(self, feature_size: int, hidden_size: int, classes: int) -> None:
        """Build a gate that is nearly closed, over a classifier with random weights.

        `set_nouns` must be called before it is used.

        Args:
            feature_size: D, of the features that the classifier takes.
            hidden_size: H.
            classes: C.
        """
        super().__init__()
        self.classifier = nn.Linear(feature_size, classes).requires_grad_(False)
        self.sharpness = nn.Parameter(torch.zeros(()))
        self.nameable = nn.Parameter(torch.zeros(classes))
        self.plural = nn.Linear(hidden_size, 1)
        self.compare = nn.Sequential(nn.Linear(hidden_size + SIGNS, GATE_SIZE), nn.Tanh())
        self.gate = nn.Linear(GATE_SIZE, 1)
        for layer, bias in ((self.plural, FEW_PLURALS), (self.gate, CLOSED)):
            nn.init.constant_(layer.bias, bias)
            with torch.no_grad():
                layer.weight.mul_(0.1)

    def set_nouns(self, token_ids: Tensor) -> None:
        """Say which nouns name the classes.

        Args:
            token_ids: (C, 2), of the singular and the plural for each class, which may be equal;
                several classes may share a noun.
        """
        token_ids = token_ids.to(self.nameable.device)
        forms, noun_of_class = token_ids.unique(dim=0, return_inverse=True)
        words, nouns = forms.unique(return_inverse=True)
        for name, table in (("words", words), ("nouns", nouns), ("noun_of_class", noun_of_class)):
            self.register_buffer(name, table, persistent=False)

    def open(self, logit: float) -> None:
        """Let more be named, by adding to the gate's logit."""
        with torch.no_grad():
            self.gate.bias.add_(logit)

    def close(self) -> None:
        """Leave every word to the decoder's output layer from now on."""
        with torch.no_grad():
            self.gate.bias.fill_(-torch.inf)

    def attend(self, alpha: Tensor, pretrained: Tensor) -> Tensor:
        """Features where the decoder looks, with a little of the whole photo.

        Args:
            alpha: (N, P); N is a multiple of M.
            pretrained: (M, P, D).

        Returns:
            (N, D).
        """
        alpha = (1 - WHOLE) * alpha.to(pretrained.dtype) + WHOLE / alpha.shape[1]
        return torch.bmm(alpha.unflatten(0, (len(pretrained), -1)), pretrained).flatten(0, 1)

    def names(self, token_ids: Tensor) -> Tensor:
        """Which nouns words (N,) are the singular or plural of, (N, L) bool."""
        return (self.words[self.nouns] == token_ids.view(-1, 1, 1)).any(dim=2)

    def forward(self, logits: Tensor, seen: Tensor, hidden: Tensor, named: Tensor) -> Mixture:
        """Mix.

        Args:
            logits: (N, V), of the decoder's output layer.
            seen: (N, D), from `attend`.
            hidden: (N, H).
            named: (N, L) bool, nouns that were said before; they are not pointed to again.
        """
        vocabulary = logits.float().log_softmax(dim=1)
        gate, read = self.point(vocabulary[:, self.words], seen, hidden, named)
        closed = F.logsigmoid(-gate)
        logprobs = vocabulary + closed
        mixed = torch.logaddexp(logprobs[:, self.words], read + F.logsigmoid(gate))
        return Mixture(logprobs.index_copy(1, self.words, mixed), vocabulary, closed)

    def point(
        self, said: Tensor, seen: Tensor, hidden: Tensor, named: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decide what is named, and with what weight.

        Args:
            said: (N, U), log-probabilities of `words` by the decoder's output layer.
            seen, hidden, named: as `forward`.

        Returns:
            The gate, as a logit, (N, 1), and log-probabilities of `words`, (N, U), as seen.
        """
        classes, nouns = self.recognize(seen, named)
        signs = self._signs(said.float().exp(), nouns)
        gate = self.gate(self.compare(torch.cat([hidden.float(), signs], dim=1))).float()
        gate = gate + (classes @ self.nameable).unsqueeze(1)
        plural = self.plural(hidden.float()).float().sigmoid()
        nouns = nouns / nouns.sum(dim=1, keepdim=True).clamp(min=LEAST)
        forms = torch.cat([(1 - plural) * nouns, plural * nouns], dim=1)  # (N, 2 L)
        read = nouns.new_zeros(len(nouns), len(self.words))
        read = read.index_add(1, self.nouns.T.flatten(), forms)
        return gate, read.clamp(min=torch.finfo(read.dtype).tiny).log()

    def recognize(self, seen: Tensor, named: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of classes (N, C), and of nouns (N, L), 0 for those said before.

        Args:
            seen, named: as `forward`.
        """
        classes = (self.sharpness.exp() * self.classifier(seen).float()).softmax(dim=1)
        nouns = classes.new_zeros(len(classes), len(self.nouns))
        return classes, nouns.index_add(1, self.noun_of_class, classes) * ~named

    def _signs(self, words: Tensor, nouns: Tensor) -> Tensor:
        """What the gate decides by, (N, SIGNS), each of them about as large as 1.

        Args:
            words: (N, U), their probabilities by the output layer.
            nouns: (N, L), their probabilities by the classifier.
        """
        singular, plural = self.nouns.T
        said = words[:, singular] + words[:, plural] * (singular != plural)  # (N, L)
        mass = said.sum(dim=1, keepdim=True)
        best, place = nouns.topk(min(2, nouns.shape[1]), dim=1)
        best = F.pad(best, (0, 2 - best.shape[1]))
        entropy = -(nouns * (nouns + LEAST).log()).sum(dim=1, keepdim=True)
        agreement = (said * nouns).sum(dim=1, keepdim=True) / (mass + LEAST)
        return torch.cat(
            [
                best[:, :1],
                (best + LEAST).log() / 4,
                entropy / 4,
                mass,
                (mass + LEAST).log() / 4,
                (said.gather(1, place[:, :1]) + LEAST).log() / 4,
                agreement,
            ],
            dim=1,
        )
