"""The recognizer: the encoder's last stages as they were pretrained, for what they can name.

Knows backbones; knows nothing of words.
"""

import copy

from torch import Tensor, nn

from captioner.encoder import FeatureExtractor
from captioner.folding import FoldedStages


class Recognizer(nn.Module):
    """The encoder's last stages, kept a second time as they were pretrained.

    Fine-tuning for captions spoils the features for the classifier that came with the encoder.
    Always frozen, and in evaluation mode.
    """

    def __init__(self, encoder: FeatureExtractor, stages: int) -> None:
        """Copy stages, with the weights that the encoder has now.

        Args:
            stages: how many of the encoder's last stages; 0 copies none and gives the features of
                the encoder itself.

        Raises:
            ValueError: the encoder has fewer stages, or cannot be run in parts.
        """
        super().__init__()
        if not 0 <= stages <= encoder.num_stages:
            raise ValueError(f"{encoder.name} has {encoder.num_stages} stages, not {stages}")
        if stages and encoder.num_stages == 1:  # run alone, a whole backbone would pool its regions
            raise ValueError(f"no stages of {encoder.name} can be kept: it is not run in parts")
        self.num_stages = stages
        self.stages = nn.Sequential(*copy.deepcopy(encoder.stages[encoder.num_stages - stages :]))
        self._folded = FoldedStages(self.stages)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Recognizer":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, maps: Tensor) -> Tensor:
        """Features as pretrained.

        Args:
            maps: (B, C, rows', cols'), from the encoder's stages before the copied ones.

        Returns:
            (B, P, D), regions in reading order.
        """
        for number in range(len(self.stages)):
            maps = self._folded[number](maps)
        return maps.flatten(2).transpose(1, 2)
