"""What a model keeps of its training photos: their mean region, and what photos like them are like.

Knows features of photos; knows nothing of decoders or words. Shape letters are those of
`captioner.model`; K is the number of principal components, C of classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

QUANTILES = 1001
"""Scores of training photos that are kept, from the least to the greatest."""
RAREST = 1e-5
"""Added to the share of each class among training photos, most of which have never seen some."""


SMALLEST = 1e-9
"""What is divided by is at least this."""


class TrainingPhotos(nn.Module):
    """A summary of the training photos, by which others are judged familiar or not.

    Two signs are added: how much of a photo's features lies outside the space that training photos
    span, and how rare the things that the encoder's classifier sees are among them.

    Source: the residual is Wang et al., ViM (arXiv:2203.10807), sec. 4.1.
    """

    mean_region: Tensor  # (D,), or (2 D,) with a recognizer; over all regions of all photos
    center: Tensor  # (D,), mean of the photos' directions
    components: Tensor  # (K, D), orthonormal
    class_shares: Tensor  # (C,)
    sign_means: Tensor  # (1,), or (2,) with classes
    sign_deviations: Tensor  # the same
    quantiles: Tensor  # (QUANTILES,), of the sum of the signs, ascending

    def __init__(self, feature_size: int, components: int, classes: int) -> None:
        """Make room for a summary, which `summarize` or a checkpoint fills.

        Args:
            feature_size: D.
            components: K.
            classes: C, of the classifier; 0 where there is none.
        """
        super().__init__()
        signs = 2 if classes else 1
        for name, *shape in (
            ("mean_region", feature_size * signs),
            ("center", feature_size),
            ("components", components, feature_size),
            ("class_shares", classes),
            ("sign_means", signs),
            ("sign_deviations", signs),
            ("quantiles", QUANTILES),
        ):
            self.register_buffer(name, torch.zeros(shape))

    def familiarity(self, means: Tensor, classifier: nn.Linear | None) -> Tensor:
        """The share of training photos that are less like the others, (B,), 0 to 1.

        Args:
            means: (B, D), the mean region of each photo, with features as pretrained.
            classifier: of the encoder, if it has one.
        """
        scores = self._scores(self._signs(means, classifier))
        # A stranger's summary may give no number.
        return _rank(scores, self.quantiles).nan_to_num(0.0)

    def summarize(self, means: Tensor, mean_region: Tensor, classifier: nn.Linear | None) -> None:
        """Take the summary of photos.

        Args:
            means: (N, D), as `familiarity`; N is at least K.
            mean_region: of what the decoder is given, over all regions of all photos.
            classifier: as `familiarity`.
        """
        self.mean_region.copy_(mean_region)
        directions = F.normalize(means, dim=1)
        self.center.copy_(directions.mean(dim=0))
        around = (directions - self.center).double()
        _, vectors = torch.linalg.eigh(around.T @ around)  # ascending
        components = vectors.flip(1).T[: len(self.components)]
        self.components.copy_(components.half())  # as a checkpoint stores it
        if classifier is not None:
            self.class_shares.copy_(classifier(means).softmax(dim=1).mean(dim=0))
        signs = self._signs(means, classifier)
        self.sign_means.copy_(signs.mean(dim=0))
        self.sign_deviations.copy_(signs.std(dim=0))
        places = torch.linspace(0, 1, QUANTILES, device=signs.device)
        self.quantiles.copy_(self._scores(signs).quantile(places))

    def _scores(self, signs: Tensor) -> Tensor:
        """The sums of standardized signs, (B,)."""
        return ((signs - self.sign_means) / self.sign_deviations.clamp(min=SMALLEST)).sum(dim=1)

    def _signs(self, means: Tensor, classifier: nn.Linear | None) -> Tensor:
        """Greater is more familiar, (B, 1 or 2)."""
        around = F.normalize(means, dim=1) - self.center
        inside = (around @ self.components.T).square().sum(dim=1)
        signs = [inside / around.square().sum(dim=1).clamp(min=SMALLEST)]
        if classifier is not None:
            logprobs = classifier(means).log_softmax(dim=1)
            surprise = logprobs - (self.class_shares + RAREST).log()
            signs.append(-(logprobs.exp() * surprise).sum(dim=1))
        return torch.stack(signs, dim=1)


def _rank(scores: Tensor, quantiles: Tensor) -> Tensor:
    """The share of a distribution that lies below scores, interpolated between its quantiles."""
    above = torch.searchsorted(quantiles, scores).clamp(1, len(quantiles) - 1)
    low, high = quantiles[above - 1], quantiles[above]
    within = ((scores - low) / (high - low).clamp(min=SMALLEST)).clamp(0, 1)
    return (above - 1 + within) / (len(quantiles) - 1)
