"""The textbook's training loop, plainly written: a baseline, which nothing else uses.

The frozen encoder sees a photo once for each of its captions in every epoch, and the decoder is
unrolled over all words of a batch padded to the longest caption, in float32. Sizes are those of
the default recipe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.transforms import v2

from captioner import PreprocessConfig
from captioner.vocabulary import PAD_ID
from train.config import FitConfig


class Decoder(nn.Module):
    """Soft attention after Xu et al., with the gate and deep output layer of our decoder."""

    def __init__(self, config: FitConfig, vocab_size: int, feature_size: int) -> None:
        super().__init__()
        hidden, memory, words = config.hidden_size, config.projection_size, config.embedding_size
        self.embedding = nn.Embedding(vocab_size, words, padding_idx=PAD_ID)
        self.project = nn.Sequential(
            nn.Linear(feature_size, memory), nn.LayerNorm(memory), nn.ReLU()
        )
        self.key = nn.Linear(memory, config.attention_size)
        self.query = nn.Linear(hidden, config.attention_size)
        self.score = nn.Linear(config.attention_size, 1)
        self.first = nn.Linear(memory, 2 * hidden)
        self.gate = nn.Linear(hidden, memory)
        self.lstm = nn.LSTMCell(words + memory, hidden)
        self.deep = nn.Linear(hidden + memory, words)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(words, vocab_size)

    def forward(self, features: Tensor, token_ids: Tensor) -> Tensor:
        """Logits (N, T, V) of features (N, P, D) and token_ids (N, T)."""
        memory = self.dropout(self.project(features))
        keys = self.key(memory)
        hidden, cell = self.first(memory.mean(dim=1)).tanh().chunk(2, dim=1)
        logits = []
        for words in self.dropout(self.embedding(token_ids)).unbind(dim=1):
            compared = torch.tanh(keys + self.query(hidden).unsqueeze(1))
            alpha = self.score(compared).softmax(dim=1)  # (N, P, 1)
            context = torch.sigmoid(self.gate(hidden)) * (alpha * memory).sum(dim=1)
            hidden, cell = self.lstm(torch.cat([words, context], dim=1), (hidden, cell))
            deep = self.deep(self.dropout(torch.cat([hidden, context], dim=1))) + words
            logits.append(self.output(self.dropout(torch.tanh(deep))))
        return torch.stack(logits, dim=1)


class Textbook:
    """A training run by the textbook."""

    def __init__(self, config: FitConfig, preprocess: PreprocessConfig, vocab_size: int) -> None:
        self.encoder: Any = timm.create_model(config.encoder, num_classes=0).eval()
        self.decoder = Decoder(config, vocab_size, self.encoder.num_features)
        self.optimizer = torch.optim.Adam(self.decoder.parameters(), lr=config.lr)
        self.clip_norm = config.clip_norm
        self.transform = v2.Compose(
            [
                v2.Resize((preprocess.image_size, preprocess.image_size)),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(preprocess.mean), list(preprocess.std)),
            ]
        )

    @torch.no_grad()
    def encode(self, photos: Sequence[Path]) -> Tensor:
        """Features (N, P, D) of photo files."""
        images = torch.stack([self.transform(Image.open(path).convert("RGB")) for path in photos])
        return self.encoder.forward_features(images).flatten(2).transpose(1, 2)

    def step(self, features: Tensor, captions: Sequence[Tensor]) -> None:
        """Learn from captions, from `<sos>` to `<eos>`, one for each row of the features."""
        token_ids = pad_sequence([*captions], batch_first=True, padding_value=PAD_ID)
        logits = self.decoder(features, token_ids[:, :-1])
        loss = F.cross_entropy(
            logits.flatten(0, 1), token_ids[:, 1:].flatten(), ignore_index=PAD_ID
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.decoder.parameters(), self.clip_norm)
        self.optimizer.step()
