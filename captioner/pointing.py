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
    form_ids: Tensor  # (L, 2), token ids of the nouns
    form_columns: Tensor  # (2 L,), the columns of all singulars, then of all plurals
    inflected: Tensor  # (L,), 1.0 where the plural is another word than the singular
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
        for name, table in (
            ("words", words),
            ("nouns", nouns),
            ("noun_of_class", noun_of_class),
            ("form_ids", forms),
            ("form_columns", nouns.T.flatten()),
            ("inflected", (nouns[:, 0] != nouns[:, 1]).float()),
        ):
            self.register_buffer(name, table, persistent=False)

    def open(self, logit: float) -> None:
        """Let more be named, by adding to the gate's logit."""
        with torch.no_grad():
            self.gate.bias.add_(logit)

    def close(self) -> None:
        """Leave every word to the decoder's output layer from now on."""
        with torch.no_grad():
            self.gate.bias.fill_(-torch.inf)

    def attend(self, alpha: Tensor, class_logits: Tensor) -> Tensor:
        """Class logits where the decoder looks, with a little of the whole photo.

        These are the classifier's of the features there: both means are linear.

        Args:
            alpha: (N, P); N is a multiple of M.
            class_logits: (M, P, C), the classifier's of each region.

        Returns:
            (N, C).
        """
        alpha = (1 - WHOLE) * alpha.to(class_logits.dtype) + WHOLE / alpha.shape[1]
        return torch.bmm(alpha.unflatten(0, (len(class_logits), -1)), class_logits).flatten(0, 1)

    def names(self, token_ids: Tensor) -> Tensor:
        """Which nouns words (N,) are the singular or plural of, (N, L) bool."""
        return (self.form_ids == token_ids.view(-1, 1, 1)).any(dim=2)

    @property
    def comparison(self) -> nn.Linear:
        """The layer of the hidden state and the signs, in this order."""
        layer = self.compare[0]
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def hidden_weights(self) -> tuple[Tensor, Tensor]:
        """Weight (1 + GATE_SIZE, H) and bias of the layer that makes `read` of the hidden state."""
        of_hidden, _ = self.comparison.weight.tensor_split([-SIGNS], dim=1)
        weight = torch.cat([self.plural.weight, of_hidden])
        return weight, torch.cat([self.plural.bias, self.comparison.bias])

    def forward(self, logits: Tensor, seen: Tensor, hidden: Tensor, named: Tensor) -> Mixture:
        """Mix.

        Args:
            logits: (N, V), of the decoder's output layer.
            seen: (N, C), from `attend`.
            hidden: (N, H).
            named: (N, L) bool, nouns that were said before; they are not pointed to again.
        """
        return self.mix(logits, seen, F.linear(hidden.float(), *self.hidden_weights), named)

    def mix(self, logits: Tensor, seen: Tensor, read: Tensor, named: Tensor) -> Mixture:
        """As `forward`.

        Args:
            read: (N, 1 + GATE_SIZE), what the layer of `hidden_weights` makes of the hidden state.
        """
        vocabulary = logits.float().log_softmax(dim=1)
        said = vocabulary.index_select(1, self.words)
        gate, pointed = self.point(said, seen, read, named)
        closed = F.logsigmoid(-gate)
        mixed = torch.lerp(said.exp(), pointed.exp(), gate.sigmoid())
        mixed = mixed.clamp(min=torch.finfo(mixed.dtype).tiny).log()
        logprobs = (vocabulary + closed).index_copy_(1, self.words, mixed)
        return Mixture(logprobs, vocabulary, closed)

    def point(
        self, said: Tensor, seen: Tensor, read: Tensor, named: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decide what is named, and with what weight.

        Args:
            said: (N, U), log-probabilities of `words` by the decoder's output layer.
            seen, read, named: as `mix`.

        Returns:
            The gate, as a logit, (N, 1), and log-probabilities of `words`, (N, U), as seen.
        """
        classes, nouns = self.recognize(seen, named)
        signs = self._signs(said.float().exp(), nouns)
        compared = F.linear(signs, self.comparison.weight[:, -SIGNS:]) + read[:, 1:]
        gate = self.gate(self.compare[1](compared)).float()
        gate = gate + (classes @ self.nameable).unsqueeze(1)
        nouns = nouns / nouns.sum(dim=1, keepdim=True).clamp(min=LEAST)
        plural = read[:, :1].float().sigmoid() * nouns
        forms = torch.cat([nouns - plural, plural], dim=1)  # (N, 2 L)
        pointed = nouns.new_zeros(len(nouns), len(self.words))
        pointed = pointed.index_add(1, self.form_columns, forms)
        return gate, pointed.clamp(min=torch.finfo(pointed.dtype).tiny).log()

    def recognize(self, seen: Tensor, named: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of classes (N, C), and of nouns (N, L), 0 for those said before.

        Args:
            seen, named: as `forward`.
        """
        classes = (self.sharpness.exp() * seen.float()).softmax(dim=1)
        nouns = classes.new_zeros(len(classes), len(self.nouns))
        return classes, nouns.index_add(1, self.noun_of_class, classes) * ~named

    def _signs(self, words: Tensor, nouns: Tensor) -> Tensor:
        """What the gate decides by, (N, SIGNS), each of them about as large as 1.

        Args:
            words: (N, U), their probabilities by the output layer.
            nouns: (N, L), their probabilities by the classifier.
        """
        singular, plural = words.index_select(1, self.form_columns).chunk(2, dim=1)
        said = torch.addcmul(singular, plural, self.inflected)  # (N, L)
        mass = said.sum(dim=1, keepdim=True)
        best, place = nouns.topk(min(2, nouns.shape[1]), dim=1)
        best = F.pad(best, (0, 2 - best.shape[1]))
        logs = torch.cat([best, mass, said.gather(1, place[:, :1])], dim=1).add(LEAST).log() / 4
        entropy = -(nouns * (nouns + LEAST).log()).sum(dim=1, keepdim=True)
        agreement = (said * nouns).sum(dim=1, keepdim=True) / (mass + LEAST)
        signs = [best[:, :1], logs[:, :2], entropy / 4, mass, logs[:, 2:], agreement]
        return torch.cat(signs, dim=1)
