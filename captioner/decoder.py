"""The decoder: an LSTM that attends over region features, one word per step.

Knows tensors and token ids; knows nothing of photos, of words as text, or of beams.
Shape letters are those of `captioner.model`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.vocabulary import PAD_ID

TIED_EMBEDDING_STD = 0.06
"""With torch's default of 1 the logits of a tied output layer start out far too large."""


class DecoderState(NamedTuple):
    """What one step hands to the next, one row per hypothesis."""

    hidden: Tensor  # (N, H)
    cell: Tensor  # (N, H)
    memory: Tensor  # (N, P, D_memory), the features attended over
    keys: Tensor  # (N, P, D_attention), the memory as the attention compares it

    def select(self, rows: Tensor) -> "DecoderState":
        """The state with its rows reordered, repeated or dropped, as `rows` (M,) says."""
        return DecoderState(*(tensor.index_select(0, rows) for tensor in self))


class StepOutput(NamedTuple):
    """What one step gives."""

    logits: Tensor  # (N, V)
    alpha: Tensor  # (N, P)
    state: DecoderState


class EmbeddingLayer(nn.Module):
    """Word vectors, with dropout; `<pad>` starts as zeros, which look-ups never train."""

    def __init__(self, vocab_size: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_ID)
        self.dropout = nn.Dropout(dropout)

    @property
    def weight(self) -> Tensor:
        """The table, (V, D_embedding)."""
        return self.embedding.weight

    def forward(self, token_ids: Tensor) -> Tensor:
        """Look words up: (...) -> (..., D_embedding)."""
        return self.dropout(self.embedding(token_ids))


class Attention(nn.Module):
    """Additive attention of one query over the regions of a photo.

    Source: Show, Attend and Tell (arXiv:1502.03044), sec. 3.1.2 and 4.2; Bahdanau et al.
    (arXiv:1409.0473), appendix A.1.2.
    """

    def __init__(self, memory_size: int, hidden_size: int, attention_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(memory_size, attention_size)
        self.query = nn.Linear(hidden_size, attention_size)
        self.score = nn.Linear(attention_size, 1)

    def forward(self, hidden: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the regions.

        Args:
            hidden: (N, H), the query.
            memory: (N, P, D_memory).
            keys: (N, P, D_attention), `self.key(memory)`, computed once for all steps.

        Returns:
            context (N, D_memory), the alpha-weighted sum of the memory, and alpha (N, P), which
            sums to 1 over P.
        """
        query = self.query(hidden).unsqueeze(1)  # (N, 1, D_attention)
        energies = self.score(torch.tanh(keys + query)).squeeze(2)  # (N, P)
        alpha = energies.softmax(dim=1)
        context = torch.bmm(alpha.unsqueeze(1).to(memory.dtype), memory).squeeze(1)
        return context, alpha


class LSTMWithAttention(nn.Module):
    """Predicts the next word from the last one, the LSTM's state and the regions attended to."""

    def __init__(
        self,
        vocab_size: int,
        feature_size: int,
        embedding_size: int = 256,
        hidden_size: int = 256,
        attention_size: int = 256,
        projection_size: int = 0,
        gate: bool = False,
        deep_output: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """Build the decoder.

        Args:
            vocab_size: V.
            feature_size: D, the width of the encoder's features.
            projection_size: width the features are projected to, with LayerNorm, before they are
                attended over; 0 attends over them as they are.
            gate: let the hidden state scale the context (sec. 4.2.1, beta).
            deep_output: predict from hidden state, context and last word, through the embedding
                table turned around (eq. 7; Press and Wolf, arXiv:1608.05859, for the tying);
                without it, one linear layer on the hidden state.
            dropout: share of units dropped from memory, embeddings and output, 0 to 1.

        Source: Show, Attend and Tell (arXiv:1502.03044).
        """
        super().__init__()
        memory_size = projection_size or feature_size
        self.embedding = EmbeddingLayer(vocab_size, embedding_size, dropout)
        self.project = nn.Identity()
        if projection_size:
            self.project = nn.Sequential(
                nn.Linear(feature_size, projection_size), nn.LayerNorm(projection_size), nn.ReLU()
            )
        self.attention = Attention(memory_size, hidden_size, attention_size)
        self.first_hidden = nn.Linear(memory_size, hidden_size)
        self.first_cell = nn.Linear(memory_size, hidden_size)
        self.gate = nn.Linear(hidden_size, memory_size) if gate else None
        self.lstm = nn.LSTMCell(embedding_size + memory_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.deep_output = None
        if deep_output:
            self.deep_output = nn.Linear(hidden_size + memory_size, embedding_size)
            self.output_bias = nn.Parameter(torch.zeros(vocab_size))
            nn.init.normal_(self.embedding.weight, std=TIED_EMBEDDING_STD)
            with torch.no_grad():
                self.embedding.weight[PAD_ID].zero_()
        else:
            self.output = nn.Linear(hidden_size, vocab_size)

    def initial_state(self, features: Tensor) -> DecoderState:
        """The state before the first word.

        Args:
            features: (N, P, D).
        """
        memory = self.dropout(self.project(features))  # (N, P, D_memory)
        mean = memory.mean(dim=1)
        hidden = torch.tanh(self.first_hidden(mean))
        cell = torch.tanh(self.first_cell(mean))
        return DecoderState(hidden, cell, memory, self.attention.key(memory))

    def step(self, token_ids: Tensor, state: DecoderState) -> StepOutput:
        """Read one word per row and predict the next.

        Args:
            token_ids: (N,), `<sos>` at the first step.

        Returns:
            logits (N, V) of the next word, the alpha (N, P) it was predicted with, and the state
            after it.
        """
        embedded = self.embedding(token_ids)  # (N, D_embedding)
        context, alpha = self.attention(state.hidden, state.memory, state.keys)
        if self.gate is not None:
            context = torch.sigmoid(self.gate(state.hidden)) * context
        inputs = torch.cat([embedded, context], dim=1)
        hidden, cell = self.lstm(inputs, (state.hidden, state.cell))
        return StepOutput(
            self._logits(hidden, context, embedded), alpha, state._replace(hidden=hidden, cell=cell)
        )

    def _logits(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        if self.deep_output is None:
            return self.output(self.dropout(hidden))
        deep = self.deep_output(self.dropout(torch.cat([hidden, context], dim=1))) + embedded
        return F.linear(self.dropout(torch.tanh(deep)), self.embedding.weight, self.output_bias)

    def forward(
        self, features: Tensor, token_ids: Tensor, photo_of_row: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict every next word of given captions (teacher forcing).

        Args:
            features: (B, P, D), each photo once.
            token_ids: (N, T), from `<sos>` on, without the last token.
            photo_of_row: (N,), which photo each caption belongs to; by default its own, N = B.

        Returns:
            logits (N, T, V) and alphas (N, T, P), zero where a row's token is `<pad>`.
        """
        if photo_of_row is None:
            photo_of_row = torch.arange(len(token_ids), device=token_ids.device)
        # Longest captions first: rows that have ended can then be cut off at the bottom.
        lengths, order = (token_ids != PAD_ID).sum(dim=1).sort(descending=True, stable=True)
        state = self.initial_state(features).select(photo_of_row[order])
        token_ids, restore = token_ids[order], order.argsort()
        logits: list[Tensor] = []
        alphas: list[Tensor] = []
        for step, active in enumerate(self._active_rows(lengths, token_ids.shape[1])):
            if active < len(state.hidden):
                state = DecoderState(*(tensor[:active] for tensor in state))
            output = self.step(token_ids[:active, step], state)
            logits.append(_pad_rows(output.logits, len(token_ids)))
            alphas.append(_pad_rows(output.alpha, len(token_ids)))
            state = output.state
        spoken = (token_ids != PAD_ID).unsqueeze(2)  # (N, T, 1)
        return (
            (torch.stack(logits, dim=1) * spoken).index_select(0, restore),
            (torch.stack(alphas, dim=1) * spoken).index_select(0, restore),
        )

    @staticmethod
    def _active_rows(lengths: Tensor, steps: int) -> list[int]:
        """How many rows to compute at each step. Cutting costs a copy: cut a fifth or nothing."""
        rows: list[int] = []
        for step in range(steps):
            count = int((lengths > step).sum())
            keep = rows[-1] if rows and count > 0.8 * rows[-1] else count
            rows.append(max(keep, 1))
        return rows


def _pad_rows(tensor: Tensor, rows: int) -> Tensor:
    return F.pad(tensor, (0, 0, 0, rows - len(tensor)))
