"""What training minimises, worked out a second time; and the words it feeds back."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from captioner import LSTMWithAttention
from captioner.decoder import Predictions
from captioner.vocabulary import END_ID, PAD_ID, SPECIALS, START_ID
from train.objective import Losses, caption_inputs, caption_losses, count, with_own_words

V, D, P = 11, 12, 4
TOKEN_IDS = torch.tensor([[START_ID, 4, 5, END_ID], [START_ID, 6, END_ID, PAD_ID]])
ROWS, STEPS = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 2])


@pytest.fixture
def said() -> Predictions:
    """Of the captions TOKEN_IDS, step by step."""
    return Predictions(ROWS, STEPS, torch.randn(5, V), torch.randn(5, P).softmax(dim=1))


def test_the_loss_is_cross_entropy_without_pads_plus_the_coverage_penalty(
    said: Predictions,
) -> None:
    losses = caption_losses(said, TOKEN_IDS, None, 0.1, 0.5)
    ids = torch.tensor([4, 6, 5, END_ID, END_ID])
    coverage = torch.stack([said.alphas[[0, 2, 4]].sum(0), said.alphas[[1, 3]].sum(0)])
    smoothed = F.cross_entropy(said.logits, ids, label_smoothing=0.1)
    assert [int(number) for number in count(TOKEN_IDS, None)] == [5, 2, 0]
    torch.testing.assert_close(losses.nll, F.cross_entropy(said.logits, ids))
    torch.testing.assert_close(losses.total, smoothed + 0.5 * ((1 - coverage) ** 2).mean())
    assert losses.box == 0


def test_words_of_a_phrase_lose_what_they_attend_to_outside_its_boxes(said: Predictions) -> None:
    coverage = torch.zeros(2, 3, P)
    coverage[0, 1] = torch.tensor([1.0, 0.5, 0.0, 0.0])  # the third word said
    coverage[1, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0])  # the second
    losses = caption_losses(said, TOKEN_IDS, coverage, box_weight=0.7)
    inside = said.alphas[2, 0] + 0.5 * said.alphas[2, 1], said.alphas[1, 3]
    wanted = -(inside[0].log() + inside[1].log()) / 2
    torch.testing.assert_close(losses.box, wanted)
    torch.testing.assert_close(losses.total, losses.nll + 0.7 * wanted)


def test_without_any_phrase_there_is_nothing_to_lose(said: Predictions) -> None:
    losses = caption_losses(said, TOKEN_IDS, torch.zeros(2, 3, P), box_weight=0.7)
    torch.testing.assert_close(losses.total, losses.nll)
    assert losses.box == 0


def test_attention_wholly_beside_the_boxes_is_a_finite_loss(said: Predictions) -> None:
    alphas = torch.eye(P)[[0, 0, 0, 0, 0]]
    coverage = torch.zeros(2, 3, P)
    coverage[:, 0, 1] = 1
    losses = caption_losses(said._replace(alphas=alphas), TOKEN_IDS, coverage, box_weight=1.0)
    assert 10 < float(losses.box) < 20


def test_the_losses_of_shares_add_up_to_those_of_the_batch(said: Predictions) -> None:
    """Shares of two words and of three, of which only the first are known to be about regions."""
    coverage = torch.zeros(2, 3, P)
    coverage[1, :2, 2] = 1
    settings = {"smoothing": 0.1, "doubly_stochastic": 0.5, "box_weight": 0.7}
    whole = caption_losses(said, TOKEN_IDS, coverage, **settings)
    counts = count(TOKEN_IDS, coverage)
    shares: list[Losses] = []
    for caption in (0, 1):
        rows = said.rows == caption
        own = Predictions(*(tensor[rows] for tensor in said))._replace(rows=0 * ROWS[rows])
        given = TOKEN_IDS[[caption]], coverage[[caption]]
        shares.append(caption_losses(own, *given, **settings, counts=counts))
    for one, other, wanted in zip(*shares, whole, strict=True):
        torch.testing.assert_close(one + other, wanted)


def test_a_decoder_is_given_captions_without_their_end() -> None:
    assert caption_inputs(TOKEN_IDS).tolist() == [[START_ID, 4, 5], [START_ID, 6, PAD_ID]]


def decoder_that_says(token_id: int) -> LSTMWithAttention:
    decoder = LSTMWithAttention(V, D, 10, 14, 8).eval()
    with torch.no_grad():
        decoder.output.bias[token_id] = 100
    return decoder


def replaced_words(token_id: int, share: float, inputs: Tensor) -> Tensor:
    photo_of_row = torch.arange(len(inputs)) % 2
    features = torch.randn(2, P, D)
    return with_own_words(decoder_that_says(token_id), features, inputs, photo_of_row, share)


def test_only_real_words_are_replaced_by_the_decoders_own() -> None:
    inputs = torch.tensor([[START_ID, 4, 5, 6], [START_ID, 6, PAD_ID, PAD_ID]])
    before = inputs.clone()
    assert replaced_words(7, 1.0, inputs).tolist() == [
        [START_ID, 7, 7, 7],
        [START_ID, 7, PAD_ID, PAD_ID],
    ]
    assert torch.equal(inputs, before)
    assert torch.equal(replaced_words(7, 0.0, inputs), inputs)


@pytest.mark.parametrize("special", range(len(SPECIALS)))
def test_no_word_is_replaced_by_a_special_token(special: int) -> None:
    inputs = torch.tensor([[START_ID, 4, 5, 6]])
    assert torch.equal(replaced_words(special, 1.0, inputs), inputs)


def test_a_share_of_the_words_is_replaced() -> None:
    inputs = torch.full((40, 26), 4)
    inputs[:, 0] = START_ID
    replaced = (replaced_words(7, 0.3, inputs) == 7).float()
    assert float(replaced[:, 1:].mean()) == pytest.approx(0.3, abs=0.05)


def test_each_word_is_replaced_by_what_is_said_in_its_own_place() -> None:
    """The decoder here repeats the word it was given, so each word becomes the one before it."""
    decoder = LSTMWithAttention(V, D, V, 14, 8).eval()
    with torch.no_grad():
        decoder.embedding.weight.copy_(torch.eye(V))
        decoder.lstm.weight_ih.zero_()
        decoder.lstm.weight_hh.zero_()
        decoder.lstm.bias_ih.zero_()
        decoder.lstm.bias_hh.zero_()
        hidden, cells = 14, torch.arange(V)
        decoder.lstm.weight_ih[2 * hidden + cells, cells] = 9.0  # the cell takes the word in,
        decoder.lstm.bias_ih[:hidden] = 9.0
        decoder.lstm.bias_ih[hidden : 2 * hidden] = -9.0  # forgets the one before,
        decoder.lstm.bias_ih[3 * hidden :] = 9.0
        decoder.output.weight.zero_()
        decoder.output.weight[cells, cells] = 90.0  # and says it again
    inputs = torch.tensor([[START_ID, 4, 5, 6], [START_ID, 8, 9, PAD_ID]])
    mixed = with_own_words(decoder, torch.zeros(2, P, D), inputs, torch.tensor([1, 0]), 1.0)
    # What follows <sos> would be <sos> again, which is no word.
    assert mixed.tolist() == [[START_ID, 4, 4, 5], [START_ID, 8, 8, PAD_ID]]
