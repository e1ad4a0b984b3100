"""The decoder: teacher forcing and stepping are one recurrence, and it can learn."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from captioner import EmbeddingLayer, LSTMWithAttention
from captioner.beam_search import search
from captioner.decoder import OWN, DecoderState, GridPosition, StepOutput
from captioner.options import DecodingOptions
from captioner.vocabulary import END_ID, PAD_ID, START_ID

V, D, P = 11, 12, 6
KINDS = {
    "classic": {},
    "released": {"projection_size": 9, "gate": True, "deep_output": True, "dropout": 0.5},
    "gate": {"gate": True},
    "deep": {"deep_output": True},
    "projected": {"projection_size": 9, "dropout": 0.2},
    "after": {"attention_query": "after", "gate": True, "deep_output": True},
    "positions": {"position_grid": (2, 3), "projection_size": 9},
}


def build(kind: str = "released") -> LSTMWithAttention:
    decoder = LSTMWithAttention(
        V, D, embedding_size=10, hidden_size=14, attention_size=8, **KINDS[kind]
    )
    return decoder.eval()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, P, D)


@pytest.fixture
def token_ids() -> Tensor:
    ids = torch.randint(4, V, (3, 5))
    ids[:, 0] = START_ID
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_teacher_forcing_is_repeated_stepping(
    kind: str, features: Tensor, token_ids: Tensor
) -> None:
    decoder = build(kind)
    logits, alphas = decoder(features, token_ids)
    assert logits.shape == (3, 5, V)
    assert alphas.shape == (3, 5, P)
    state = decoder.initial_state(features)
    for t in range(5):
        output = decoder.step(token_ids[:, t], state)
        torch.testing.assert_close(output.logits, logits[:, t], atol=1e-6, rtol=0)
        torch.testing.assert_close(output.alpha, alphas[:, t], atol=1e-6, rtol=0)
        state = output.state


def memory_by_hand(decoder: LSTMWithAttention, features: Tensor) -> Tensor:
    memory = decoder.project(features)
    if decoder.position is None:
        return memory
    row, col = decoder.position.row[:, 0], decoder.position.col[0]
    return torch.stack([memory[:, p] + row[p // 3] + col[p % 3] for p in range(P)], dim=1)


def attention_by_hand(
    decoder: LSTMWithAttention, hidden: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Alpha and context, region by region; sec. 3.1.2 and 4.2.1."""
    scorer = decoder.attention
    energies = [
        scorer.score((scorer.key(memory[:, p]) + scorer.query(hidden)).tanh()) for p in range(P)
    ]
    alpha = torch.cat(energies, dim=1).exp()
    alpha = alpha / alpha.sum(dim=1, keepdim=True)
    context = torch.stack([alpha[:, p, None] * memory[:, p] for p in range(P)]).sum(dim=0)
    if decoder.gate is not None:
        context = decoder.gate(hidden).sigmoid() * context
    return alpha, context


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_follow_the_equations_of_the_paper(kind: str, features: Tensor) -> None:
    """Written out once more; sec. 3.1.2 and 4.2.1, and eq. 7."""
    decoder = build(kind)
    memory = memory_by_hand(decoder, features)
    context = memory.mean(dim=1)
    hidden = decoder.first_hidden(context).tanh()
    cell = decoder.first_cell(context).tanh()
    state = decoder.initial_state(features)
    for token_id in (START_ID, 5):
        word = decoder.embedding.weight[token_id].expand(3, -1)
        if kind == "after":  # the LSTM reads what was attended to for the word before
            hidden, cell = decoder.lstm(torch.cat([word, context], dim=1), (hidden, cell))
            alpha, context = attention_by_hand(decoder, hidden, memory)
        else:
            alpha, context = attention_by_hand(decoder, hidden, memory)
            hidden, cell = decoder.lstm(torch.cat([word, context], dim=1), (hidden, cell))
        if decoder.deep_output is None:
            logits = decoder.output(hidden)
        else:
            deep = (decoder.deep_output(torch.cat([hidden, context], dim=1)) + word).tanh()
            logits = deep @ decoder.embedding.weight.T + decoder.output_bias
        output = decoder.step(torch.full((3,), token_id), state)
        state = output.state
        torch.testing.assert_close(output.alpha, alpha)
        torch.testing.assert_close(output.logits, logits)
        torch.testing.assert_close(state.hidden, hidden)
        torch.testing.assert_close(state.cell, cell)


@pytest.mark.parametrize("kind", KINDS)
def test_padded_captions_in_one_batch_are_each_as_alone(kind: str) -> None:
    decoder = build(kind)
    features = torch.randn(8, P, D)
    lengths = [3, 9, 1, 5, 5, 2, 9, 4]
    token_ids = torch.randint(4, V, (8, 9))
    for row, length in enumerate(lengths):
        token_ids[row, length:] = PAD_ID
    logits, alphas = decoder(features, token_ids)
    assert logits.shape == (8, 9, V)
    for row, length in enumerate(lengths):
        alone = decoder(features[row : row + 1], token_ids[row : row + 1, :length])
        torch.testing.assert_close(logits[row, :length], alone[0][0])
        torch.testing.assert_close(alphas[row, :length], alone[1][0])
        assert not logits[row, length:].any()
        assert not alphas[row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_search_reports_the_probabilities_and_attention_of_teacher_forcing(
    kind: str, beam_size: int, features: Tensor
) -> None:
    decoder = build(kind)
    options = DecodingOptions(beam_size=beam_size, max_length=7, min_length=2, length_penalty=1.0)
    with torch.inference_mode():
        found = search(decoder.step, decoder.initial_state(features), options)
        for photo, hypotheses in enumerate(found):
            for hypothesis in hypotheses:
                words = hypothesis.token_ids
                said = [*words, END_ID] if hypothesis.finished else words
                ids = torch.tensor([[START_ID, *words]])[:, : len(said)]
                logits, alphas = decoder(features[photo : photo + 1], ids)
                logprobs = logits[0].log_softmax(dim=1)[range(len(said)), said]
                told = torch.tensor([choice.logprob for choice in hypothesis.choices])
                torch.testing.assert_close(told, logprobs[: len(words)])
                assert hypothesis.logprob == pytest.approx(float(logprobs.sum()), abs=1e-4)
                assert hypothesis.score == pytest.approx(hypothesis.logprob / len(said), abs=1e-5)
                seen = torch.stack([choice.alpha for choice in hypothesis.choices])
                torch.testing.assert_close(seen, alphas[0, : len(words)])


@pytest.mark.parametrize("kind", KINDS)
def test_several_captions_of_a_photo_share_its_features(kind: str, features: Tensor) -> None:
    decoder = build(kind)
    token_ids = torch.randint(4, V, (5, 4))
    photo_of_row = torch.tensor([0, 0, 2, 1, 2])
    shared = decoder(features, token_ids, photo_of_row)
    repeated = decoder(features[photo_of_row], token_ids)
    torch.testing.assert_close(shared, repeated)


def captions_of_lengths(lengths: list[int]) -> Tensor:
    token_ids = torch.randint(4, V, (len(lengths), max(lengths)))
    for row, length in enumerate(lengths):
        token_ids[row, length:] = PAD_ID
    return token_ids


@pytest.mark.parametrize("kind", KINDS)
def test_photos_may_have_captions_of_any_number_and_length_or_none(kind: str) -> None:
    """The widest of the shapes that a batch is cut to as its captions end, one after another."""
    decoder = build(kind)
    features = torch.randn(5, P, D)
    lengths = [2, 11, 3, 1, 4, 6, 2, 1]
    photo_of_row = torch.tensor([2, 0, 2, 4, 0, 2, 2, 4])  # of 1 and 3 nobody said anything
    token_ids = captions_of_lengths(lengths)
    logits, alphas = decoder(features, token_ids, photo_of_row)
    for row, length in enumerate(lengths):
        photo = int(photo_of_row[row])
        alone = decoder(features[photo : photo + 1], token_ids[row : row + 1, :length])
        torch.testing.assert_close(logits[row, :length], alone[0][0])
        torch.testing.assert_close(alphas[row, :length], alone[1][0])
        assert not logits[row, length:].any()
        assert not alphas[row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_teacher_forcing_for_each_word_once(kind: str) -> None:
    decoder = build(kind)
    features = torch.randn(3, P, D)
    token_ids = captions_of_lengths([5, 1, 9, 3])
    photo_of_row = torch.tensor([1, 1, 0, 1])
    said = decoder.predict(features, token_ids, photo_of_row)
    logits, alphas = decoder(features, token_ids, photo_of_row)
    places = list(zip(said.rows.tolist(), said.steps.tolist(), strict=True))
    assert sorted(places) == [tuple(place) for place in (token_ids != PAD_ID).nonzero().tolist()]
    assert torch.equal(said.logits, logits[said.rows, said.steps])
    assert torch.equal(said.alphas, alphas[said.rows, said.steps])


def step_alone(decoder: LSTMWithAttention, state: DecoderState, row: int, word: int) -> StepOutput:
    """The step of one row, with a memory of its own."""
    shared = len(state.hidden) // len(state.memory)
    own = [tensor[row : row + 1] for tensor in state[:OWN]]
    read = [tensor[row // shared][None] for tensor in state[OWN:]]
    return decoder.step(torch.tensor([word]), DecoderState(*own, *read))


def assert_rows_go_on(
    decoder: LSTMWithAttention, state: DecoderState, before: DecoderState, rows: list[int]
) -> None:
    """Stepping `state` gives what stepping these rows of `before` one by one gives."""
    words = list(range(4, 4 + len(rows)))
    output = decoder.step(torch.tensor(words), state)
    assert len(output.logits) == len(rows)
    for place, row in enumerate(rows):
        alone = step_alone(decoder, before, row, words[place])
        torch.testing.assert_close(output.logits[place], alone.logits[0])
        torch.testing.assert_close(output.alpha[place], alone.alpha[0])
        torch.testing.assert_close(output.state.hidden[place], alone.state.hidden[0])
        torch.testing.assert_close(output.state.context[place], alone.state.context[0])


@pytest.mark.parametrize("kind", ["released", "after"])
def test_selected_shared_and_cut_rows_go_on_as_they_would_have(kind: str, features: Tensor) -> None:
    decoder = build(kind)
    start = decoder.initial_state(features)
    one_each = decoder.step(torch.tensor([START_ID, 5, 6]), start).state
    assert_rows_go_on(decoder, one_each.select(torch.tensor([2, 0, 0, 1])), one_each, [2, 0, 0, 1])
    assert_rows_go_on(decoder, one_each.shared_by(2), one_each, [0, 0, 1, 1, 2, 2])
    two_each = decoder.step(torch.arange(4, 10), one_each.shared_by(2)).state
    assert two_each.memory.shape[0] == 3
    assert_rows_go_on(decoder, two_each.select(torch.tensor([5, 0, 3])), two_each, [5, 0, 3])
    assert_rows_go_on(decoder, two_each.cut(1), two_each, [0, 2, 4])
    assert two_each.cut(2) is two_each


def test_memory_is_not_copied_while_the_rows_of_each_photo_stay_together() -> None:
    decoder = build("released")
    state = decoder.initial_state(torch.randn(3, P, D)).shared_by(2)
    among_themselves = state.select(torch.tensor([1, 1, 2, 3, 5, 4]))
    assert among_themselves.memory is state.memory
    without_the_second = state.select(torch.tensor([1, 1, 5, 4]))
    assert torch.equal(without_the_second.memory, state.memory[[0, 2]])
    apart = state.select(torch.tensor([0, 2, 1, 3]))
    assert torch.equal(apart.memory, state.memory[[0, 1, 0, 1]])


def test_a_position_tells_equal_regions_apart() -> None:
    features = torch.randn(1, 1, D).expand(1, P, D)
    _, alphas = build("projected")(features, torch.full((1, 1), START_ID))
    torch.testing.assert_close(alphas, torch.full((1, 1, P), 1 / P))
    _, alphas = build("positions")(features, torch.full((1, 1), START_ID))
    assert len({round(alpha, 6) for alpha in alphas.flatten().tolist()}) == P


def test_regions_of_another_number_than_the_positions_are_left_as_they_are() -> None:
    position = GridPosition((2, 3), 9)
    mean_region = torch.randn(1, 1, 9)
    assert torch.equal(position(mean_region), mean_region)


def test_attention_sums_to_1_and_makes_the_context(features: Tensor) -> None:
    attention = build("classic").attention
    context, alpha = attention(torch.randn(3, 14), features, attention.key(features))
    torch.testing.assert_close(alpha.sum(dim=1), torch.ones(3))
    assert (alpha > 0).all()
    torch.testing.assert_close(context, (alpha.unsqueeze(2) * features).sum(dim=1))


def test_a_region_that_answers_the_query_draws_the_attention(features: Tensor) -> None:
    attention = build("classic").attention
    keys = torch.full((3, P, 8), -2.0)
    keys[:, 4] = 2.0
    with torch.no_grad():
        attention.score.weight.fill_(2.0)
    _, alpha = attention(torch.zeros(3, 14), features, keys)
    assert alpha.argmax(dim=1).tolist() == [4, 4, 4]


def test_a_caption_depends_on_the_photo_and_on_every_word_before(features: Tensor) -> None:
    decoder = build()
    ids = torch.full((3, 4), 5)
    logits, _ = decoder(features, ids)
    assert not torch.allclose(logits[0], logits[1])
    changed = ids.clone()
    changed[:, 1] = 6
    other, _ = decoder(features, changed)
    assert torch.equal(other[:, 0], logits[:, 0])
    assert not torch.allclose(other[:, 3], logits[:, 3])


def test_padding_is_the_zero_vector_and_gets_no_gradient_as_input() -> None:
    layer = EmbeddingLayer(V, 10)
    layer(torch.tensor([[PAD_ID, 5]])).sum().backward()
    assert layer(torch.tensor([PAD_ID])).abs().sum() == 0
    assert isinstance(layer.embedding.weight.grad, Tensor)
    assert layer.embedding.weight.grad[PAD_ID].abs().sum() == 0
    assert layer.embedding.weight.grad[5].abs().sum() > 0


def test_a_deep_output_is_tied_to_the_embeddings() -> None:
    decoder = build("deep")
    tables = [name for name, tensor in decoder.named_parameters() if tensor.shape[0] == V]
    assert sorted(tables) == ["embedding.embedding.weight", "output_bias"]
    assert not decoder.embedding.weight[PAD_ID].any()


def test_dropout_is_off_when_evaluating_and_on_when_training(features: Tensor) -> None:
    decoder = build("released")
    ids = torch.full((3, 4), 5)
    assert torch.equal(decoder(features, ids)[0], decoder(features, ids)[0])
    decoder.train()
    assert not torch.equal(decoder(features, ids)[0], decoder(features, ids)[0])


def learn(features: Tensor, captions: Tensor, num_steps: int) -> tuple[LSTMWithAttention, float]:
    torch.manual_seed(1)
    decoder = LSTMWithAttention(V, D, 16, 24, 16, 12, gate=True, deep_output=True)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    loss = torch.tensor(0.0)
    for _ in range(num_steps):
        logits, _ = decoder(features, captions[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), captions[:, 1:].flatten(), ignore_index=PAD_ID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder.eval(), loss.item()


CAPTIONS = [[5, 6, 7], [5, 6, 8, 9], [7, 5], [10, 4, 10, 4, 6]]


def captions_as_tensor() -> Tensor:
    width = max(map(len, CAPTIONS)) + 2
    rows = [[START_ID, *words, END_ID] for words in CAPTIONS]
    return torch.tensor([row + [PAD_ID] * (width - len(row)) for row in rows])


@pytest.mark.slow
def test_four_captions_are_learnt_in_seconds_and_then_said() -> None:
    features = torch.randn(4, P, D)
    decoder, loss = learn(features, captions_as_tensor(), 150)
    assert loss < 0.05
    with torch.inference_mode():
        for beam_size in (1, 3):
            state = decoder.initial_state(features)
            found = search(decoder.step, state, DecodingOptions(beam_size=beam_size))
            assert [hypotheses[0].token_ids for hypotheses in found] == CAPTIONS


def test_the_same_seed_learns_the_same_weights_bit_for_bit() -> None:
    features = torch.randn(4, P, D)
    one, loss = learn(features, captions_as_tensor(), 10)
    other, same_loss = learn(features, captions_as_tensor(), 10)
    assert loss == same_loss
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
