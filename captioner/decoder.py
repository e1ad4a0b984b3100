"""The decoder: an LSTM that attends over region features, one word per step.

Knows tensors and token ids; knows nothing of photos, of words as text, or of beams.
Shape letters are those of `captioner.model`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from captioner.packed import Linear, linear, packed_linear
from captioner.pointing import GATE_SIZE, Mixture, PointingGate
from captioner.vocabulary import PAD_ID
from captioner.weight_cache import WeightCache

TIED_EMBEDDING_STD = 0.06
"""With torch's default of 1 the logits of a tied output layer start out far too large."""

AttentionQuery = Literal["before", "after"]
"""Whether the query of the attention is the hidden state before or after the LSTM's update."""


OWN = 5
"""Fields of a DecoderState that each hypothesis has of its own; the rest is of its photo."""


class DecoderState(NamedTuple):
    """The state between two steps, one row per hypothesis.

    M rows of memory serve N rows: row n attends over memory row n // (N / M).
    """

    hidden: Tensor  # (N, H)
    cell: Tensor  # (N, H)
    context: Tensor  # (N, D_memory), of the last step
    read: Tensor  # (N, ...), `StepLayers.hidden` of `hidden`
    named: Tensor  # (N, L) bool, a pointing gate's nouns that were said before; (N, 0) without one
    memory: Tensor  # (M, P, D_memory), the features attended over
    keys: Tensor  # (M, P, D_attention), the memory as the attention compares it
    class_logits: Tensor  # (M, P, C) for a pointing gate, (M, P, 0) without one

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.hidden)

    @property
    def device(self) -> torch.device:
        """Where the decoder computes."""
        return self.hidden.device

    def repeated(self, photos: int) -> "DecoderState":
        """The state, of one photo, for this many photos like it."""
        return DecoderState._make(tensor.expand(photos, *tensor.shape[1:]) for tensor in self)

    def with_rows(self, other: "DecoderState") -> "DecoderState":
        """The rows of both; as many share a row of memory in each."""
        return DecoderState._make(torch.cat(pair) for pair in zip(self, other, strict=True))

    def select(self, rows: Tensor) -> "DecoderState":
        """The state with its rows reordered, repeated or dropped, as `rows` (N',) says.

        Memory is copied only where photos are dropped, or rows of a photo are no longer together.
        """
        shared = len(self.hidden) // len(self.memory)
        own = [tensor.index_select(0, rows) for tensor in self[:OWN]]
        photos, counts = (rows // shared).unique_consecutive(return_counts=True)
        if len(set(counts.tolist())) > 1:
            photos = rows // shared
        if photos.tolist() == [*range(len(self.memory))]:
            return DecoderState._make([*own, *self[OWN:]])
        return DecoderState._make(
            [*own, *(memory.index_select(0, photos) for memory in self[OWN:])]
        )

    def cut(self, rows: int) -> "DecoderState":
        """The state of the first `rows` of the rows that share each row of memory."""
        shared = len(self.hidden) // len(self.memory)
        if rows == shared:
            return self
        own = [tensor.unflatten(0, (-1, shared))[:, :rows].flatten(0, 1) for tensor in self[:OWN]]
        return DecoderState._make([*own, *self[OWN:]])

    def shared_by(self, rows: int) -> "DecoderState":
        """The state with each row repeated, `rows` rows then sharing a row of memory."""
        own = [tensor.repeat_interleave(rows, dim=0) for tensor in self[:OWN]]
        return DecoderState._make([*own, *self[OWN:]])


class StepLayers(NamedTuple):
    """The linear layers of a step. Those with the same input are one product."""

    word: Linear  # D_embedding -> 4 H, the word vector's share of the LSTM's gates
    context: Linear  # D_memory -> 4 H, the context's share
    hidden: Linear
    """H -> 4 H, the hidden state's share of the gates; D_attention, the query; D_memory, what
    scales the context, if anything does; what a pointing gate reads, if there is one."""
    deep: Linear | None  # H + D_memory -> D_embedding
    output: Linear  # -> V


class StepOutput(NamedTuple):
    """What one step gives."""

    logits: Tensor  # (N, V)
    alpha: Tensor  # (N, P)
    state: DecoderState


class ReadCaptions(NamedTuple):
    """Before every word of given captions: W words of N captions in all."""

    rows: Tensor  # (W,), index of the word's caption
    steps: Tensor  # (W,), index of the word in its caption
    hidden: Tensor  # (W, H)
    context: Tensor  # (W, D_memory)
    embedded: Tensor  # (W, D_embedding), of the word before
    alphas: Tensor  # (W, P)
    seen: Tensor  # (W, C), class logits where it looks; (W, 0) without a pointing gate
    named: Tensor  # (W, L), see `DecoderState`


class TeacherForcingOutput(NamedTuple):
    """Predictions of every word of given captions: W words of N captions in all."""

    rows: Tensor  # (W,), index of the word's caption
    steps: Tensor  # (W,), index of the word in its caption
    logits: Tensor  # (W, V)
    alphas: Tensor  # (W, P)
    mixture: Mixture | None = None
    """Of a decoder with a pointing gate, before the temperature."""


class EmbeddingLayer(nn.Module):
    """Word vectors, with dropout; `<pad>` starts as zeros, which look-ups never train."""

    def __init__(self, vocab_size: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        vectors = _normal(vocab_size, embedding_size)
        vectors[PAD_ID] = 0
        self.embedding = nn.Embedding(vocab_size, embedding_size, PAD_ID, _weight=vectors)
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
            hidden: (N, H), the queries; N is a multiple of M.
            memory: (M, P, D_memory), each row for N / M queries in turn.
            keys: (M, P, D_attention), `self.key(memory)`, computed once for all steps.

        Returns:
            context (N, D_memory), the alpha-weighted sum of the memory, and alpha (N, P), which
            sums to 1 over P.
        """
        return self.weigh(self.query(hidden), memory, keys)

    def weigh(self, query: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, given the query (N, D_attention) that `self.query` makes of `hidden`."""
        queries = query.unflatten(0, (len(memory), -1))  # (M, N/M, D_attention)
        compared = torch.tanh(keys.unsqueeze(1) + queries.unsqueeze(2))  # (M, N/M, P, D_attention)
        alpha = self.score(compared).squeeze(3).softmax(dim=2)  # (M, N/M, P)
        context = torch.bmm(alpha.to(memory.dtype), memory)  # (M, N/M, D_memory)
        return context.flatten(0, 1), alpha.flatten(0, 1)


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
        position_grid: tuple[int, int] | None = None,
        attention_query: AttentionQuery = "before",
        gate: bool = False,
        deep_output: bool = False,
        dropout: float = 0.0,
        classes: int = 0,
        temperature: float = 1.0,
    ) -> None:
        """Build the decoder.

        Args:
            vocab_size: V.
            feature_size: D, the width of the encoder's features.
            projection_size: width the features are projected to, with LayerNorm, before they are
                attended over; 0 attends over them as they are.
            position_grid: rows and cols of the regions, to add a learned vector per row and per
                column to them; None adds none.
            attention_query: "before": the query is the hidden state before the LSTM's update,
                which then reads the context; "after": it is the one after the update, and the
                LSTM reads the context of the step before.
            gate: let the hidden state scale the context (sec. 4.2.1, beta).
            deep_output: predict from hidden state, context and last word, through the embedding
                table transposed (eq. 7; Press and Wolf, arXiv:1608.05859, for the tying);
                without it, one linear layer on the hidden state.
            dropout: share of units dropped from memory, embeddings and output, 0 to 1.
            classes: C, of a pointing gate's classifier, for which the features of a region, as
                pretrained, follow those that are attended over; 0 builds no gate.
            temperature: what logits are divided by, those of a pointing gate too, so that
                probabilities are calibrated (Guo et al., arXiv:1706.04599, sec. 4.2); above 0.

        Source: Show, Attend and Tell (arXiv:1502.03044).
        """
        super().__init__()
        self.feature_size, self.temperature = feature_size, temperature
        memory_size = projection_size or feature_size
        self.attention_query = attention_query
        self.embedding = EmbeddingLayer(vocab_size, embedding_size, dropout)
        self.project = nn.Identity()
        if projection_size:
            self.project = nn.Sequential(
                nn.Linear(feature_size, projection_size), nn.LayerNorm(projection_size), nn.ReLU()
            )
        self.position = GridPosition(position_grid, memory_size) if position_grid else None
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
            vectors = _normal(*self.embedding.weight.shape, std=TIED_EMBEDDING_STD)
            self.embedding.weight.data.copy_(vectors)
            with torch.no_grad():
                self.embedding.weight[PAD_ID].zero_()
        else:
            self.output = nn.Linear(hidden_size, vocab_size)
        self.pointing = PointingGate(feature_size, hidden_size, classes) if classes else None
        # The parts of `DecoderState.read`.
        self._read_sizes = [
            4 * hidden_size,
            attention_size,
            memory_size if gate else 0,
            1 + GATE_SIZE if classes else 0,
        ]
        parts = [self, self.lstm, self.attention.query, self.gate, self.deep_output]
        parts += [self.embedding.embedding] if deep_output else [self.output]
        if self.pointing is not None:
            parts += [self.pointing.plural, self.pointing.comparison]
        self._layers: WeightCache[StepLayers] = WeightCache(filter(None, parts))

    @property
    def layers(self) -> StepLayers:
        """The layers of a step; without gradients, kept until a weight changes."""
        if torch.is_grad_enabled():
            return self._build_layers(linear)
        autocasts = torch.is_autocast_enabled(self.embedding.weight.device.type)
        make = linear if autocasts else packed_linear
        return self._layers.get(lambda: self._build_layers(make), autocasts)

    def _build_layers(self, make: Callable[[Tensor, Tensor | None], Linear]) -> StepLayers:
        lstm, query, gate = self.lstm, self.attention.query, self.gate
        word, context = lstm.weight_ih.tensor_split([self.embedding.weight.shape[1]], dim=1)
        reading = [(lstm.weight_hh, torch.zeros_like(lstm.bias_hh)), (query.weight, query.bias)]
        if gate is not None:
            reading.append((gate.weight, gate.bias))
        if self.pointing is not None:
            reading.append(self.pointing.hidden_weights)
        deep = self.deep_output
        return StepLayers(
            make(word, lstm.bias_ih + lstm.bias_hh),
            make(context, None),
            make(*map(torch.cat, zip(*reading, strict=True))),
            None if deep is None else make(deep.weight, deep.bias),
            make(self.output.weight, self.output.bias)
            if deep is None
            else make(self.embedding.weight, self.output_bias),
        )

    def initial_state(self, features: Tensor) -> DecoderState:
        """The state before the first word.

        Args:
            features: (N, P, D), or (N, P, 2 D) for a decoder with a pointing gate.
        """
        features, pretrained = features.tensor_split([self.feature_size], dim=2)
        memory = self.project(features)  # (N, P, D_memory)
        if self.position is not None:
            memory = self.position(memory)
        memory = self.dropout(memory)
        keys = self.attention.key(memory)
        memory = memory.to(keys.dtype)  # once, where autocast would do it at every step
        mean = memory.mean(dim=1)
        hidden = torch.tanh(self.first_hidden(mean))
        cell = torch.tanh(self.first_cell(mean))
        nouns, class_logits = 0, pretrained
        if self.pointing is not None:
            nouns, class_logits = len(self.pointing.nouns), self.pointing.classifier(pretrained)
        named = torch.zeros(len(mean), nouns, dtype=torch.bool, device=mean.device)
        read = self.layers.hidden(hidden)
        return DecoderState(hidden, cell, mean, read, named, memory, keys, class_logits)

    def step(self, token_ids: Tensor, state: DecoderState) -> StepOutput:
        """Read one word per row and predict the next.

        Args:
            token_ids: (N,), `<sos>` at the first step.

        Returns:
            logits (N, V) of the next word, the alpha (N, P) it was predicted with, and the state
            after it.
        """
        embedded = self.embedding(token_ids)  # (N, D_embedding)
        layers = self.layers
        alpha, state = self._advance(layers, token_ids, layers.word(embedded), state)
        logits = self._logits(layers, state.hidden, state.context, embedded)
        if self.pointing is not None:
            seen, read = self._see(alpha, state), state.read[:, -1 - GATE_SIZE :]
            logits = self.pointing.mix(logits, seen, read, state.named).logprobs
        return StepOutput(logits / self.temperature, alpha, state)

    def _advance(
        self, layers: StepLayers, token_ids: Tensor, words: Tensor, state: DecoderState
    ) -> tuple[Tensor, DecoderState]:
        """The recurrence: the alpha (N, P) of this step, and the state after it.

        Args:
            token_ids: (N,).
            words: (N, 4 H), `StepLayers.word` of their vectors.
        """
        if self.pointing is not None:
            state = state._replace(named=state.named | self.pointing.names(token_ids))
        gates, query, scale, _ = state.read.split(self._read_sizes, dim=1)
        if self.attention_query == "before":
            context, alpha = self._attend(query, scale, state)
            hidden, cell = _update(gates + words + layers.context(context), state.cell)
            read = layers.hidden(hidden)
        else:
            hidden, cell = _update(gates + words + layers.context(state.context), state.cell)
            read = layers.hidden(hidden)
            _, query, scale, _ = read.split(self._read_sizes, dim=1)
            context, alpha = self._attend(query, scale, state)
        return alpha, state._replace(hidden=hidden, cell=cell, context=context, read=read)

    def _attend(self, query: Tensor, scale: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Context and alpha; the scale, (N, D_memory), is that of a decoder with a gate."""
        context, alpha = self.attention.weigh(query, state.memory, state.keys)
        if self.gate is not None:
            context = torch.sigmoid(scale) * context
        return context, alpha

    def logits(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """The output layer's, (N, V)."""
        return self._logits(self.layers, hidden, context, embedded)

    def _logits(
        self, layers: StepLayers, hidden: Tensor, context: Tensor, embedded: Tensor
    ) -> Tensor:
        if layers.deep is None:
            return layers.output(self.dropout(hidden))
        deep = layers.deep(self.dropout(torch.cat([hidden, context], dim=1))) + embedded
        return layers.output(self.dropout(torch.tanh(deep)))

    def forward(
        self, features: Tensor, token_ids: Tensor, photo_of_row: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict every next word of given captions (teacher forcing).

        Args:
            features: (B, P, D) or (B, P, 2 D), each photo once.
            token_ids: (N, T), from `<sos>` on, without the last token.
            photo_of_row: (N,), which photo each caption belongs to; by default its own, N = B.

        Returns:
            logits (N, T, V) and alphas (N, T, P), zero where a row's token is `<pad>`.
        """
        if photo_of_row is None:
            photo_of_row = torch.arange(len(token_ids), device=token_ids.device)
        output = self.predict(features, token_ids, photo_of_row)
        return _scatter(output.logits, output, token_ids), _scatter(
            output.alphas, output, token_ids
        )

    def predict(
        self, photos: Tensor | DecoderState, token_ids: Tensor, photo_of_row: Tensor
    ) -> TeacherForcingOutput:
        """As `forward`, but only at words that are not `<pad>`, which is all that a loss needs.

        Args:
            photos: their features, or their `initial_state`.
        """
        read = self.read(photos, token_ids, photo_of_row)
        logits = self.logits(read.hidden, read.context, read.embedded)
        mixture = None
        if self.pointing is not None:
            mixture = self.pointing(logits, read.seen, read.hidden, read.named)
            logits = mixture.logprobs
        logits = logits / self.temperature
        return TeacherForcingOutput(read.rows, read.steps, logits, read.alphas, mixture)

    def read(
        self, photos: Tensor | DecoderState, token_ids: Tensor, photo_of_row: Tensor
    ) -> "ReadCaptions":
        """What the decoder has in mind before each word that is not `<pad>`; as `predict`."""
        spoken = (token_ids != PAD_ID).cpu()  # (N, T)
        begun = self.initial_state(photos) if isinstance(photos, Tensor) else photos
        slots = _slots(spoken.sum(dim=1), photo_of_row, begun.num_rows)  # (B, K)
        spoken = spoken[slots] & (slots >= 0).unsqueeze(2)  # (B, K, T)
        widths = spoken.any(dim=0).sum(dim=0).tolist()  # per step, columns where a word is left
        inputs = token_ids[slots.to(token_ids.device)]  # (B, K, T)
        embedded = self.embedding(inputs)  # (B, K, T, D_embedding)
        layers = self.layers
        entering = layers.word(embedded).unbind(dim=2)  # T of (B, K, 4 H)
        vectors = embedded.unbind(dim=2)
        state = begun.shared_by(slots.shape[1])
        outcomes: list[tuple[Tensor, ...]] = []
        widths = widths[: sum(map(bool, widths))]
        for step, width in enumerate(widths):
            state = state.cut(width)
            alpha, state = self._advance(
                layers,
                inputs[:, :width, step].flatten(),
                entering[step][:, :width].flatten(0, 1),
                state,
            )
            words = vectors[step][:, :width].flatten(0, 1)  # (B * width, D_embedding)
            seen = self._see(alpha, state)
            outcomes.append((state.hidden, state.context, words, alpha, seen, state.named))
        steps = [*enumerate(widths)]
        chosen = torch.cat([spoken[:, :width, step].flatten() for step, width in steps]).nonzero()
        chosen = chosen.squeeze(1)
        rows = torch.cat([slots[:, :width].flatten() for width in widths])[chosen]
        places = torch.cat([torch.full((len(slots) * w,), step) for step, w in steps])[chosen]
        chosen, rows, places = (part.to(token_ids.device) for part in (chosen, rows, places))
        parts = (
            torch.cat(tensors).index_select(0, chosen) for tensors in zip(*outcomes, strict=True)
        )
        return ReadCaptions(rows, places, *parts)

    def _see(self, alpha: Tensor, state: DecoderState) -> Tensor:
        """Class logits where the decoder looks, (N, C); (N, 0) without a pointing gate."""
        if self.pointing is None:
            return alpha[:, :0]
        return self.pointing.attend(alpha, state.class_logits)


class GridPosition(nn.Module):
    """Adds a learned vector for its row and one for its column to every region."""

    def __init__(self, grid: tuple[int, int], size: int) -> None:
        super().__init__()
        rows, cols = grid
        self.row = nn.Parameter(_normal(rows, 1, size, std=0.02))
        self.col = nn.Parameter(_normal(1, cols, size, std=0.02))

    def forward(self, memory: Tensor) -> Tensor:
        """(N, rows * cols, D) -> the same shape; another number of regions is left as it is."""
        places = (self.row + self.col).flatten(0, 1)
        return memory + places if memory.shape[1] == len(places) else memory


def _update(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden state and cell, as nn.LSTMCell has them.

    Args:
        gates: (N, 4 H), before their activations.
        cell: (N, H).
    """
    enter, keep, new, leave = gates.chunk(4, dim=1)
    cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _slots(lengths: Tensor, photo_of_row: Tensor, num_photos: int) -> Tensor:
    """Arrange captions in a rectangle, so that the captions of a photo share its memory.

    The long captions of each photo come first; columns in which all captions have ended can be
    cut off. A copy of the memory for every caption would cost more.

    Args:
        lengths: (N,), of the captions, on the CPU.
        photo_of_row: (N,), each caption's photo.

    Returns:
        (B, K), indices of captions on the CPU, -1 where a photo has no more of them.
    """
    photos = photo_of_row.tolist()
    captions: list[list[int]] = [[] for _ in range(num_photos)]
    for row in lengths.argsort(descending=True, stable=True).tolist():
        captions[photos[row]].append(row)
    rows = [torch.tensor(group, dtype=torch.long) for group in captions]
    return pad_sequence(rows, batch_first=True, padding_value=-1)


def _scatter(values: Tensor, output: TeacherForcingOutput, token_ids: Tensor) -> Tensor:
    """Values of words (W, ...) at their places among all (N, T, ...)."""
    places = values.new_zeros(*token_ids.shape, *values.shape[1:])
    return places.index_put((output.rows, output.steps), values)


def _normal(*shape: int, std: float = 1.0) -> Tensor:
    """Random numbers; on the meta device none, for which torch would import its compiler."""
    numbers = torch.empty(shape)
    return numbers if numbers.is_meta else numbers.normal_(std=std)
