"""The pointing gate: what it mixes, what it learns from, and that it remembers what was named."""

import pytest
import torch
from torch import Tensor, nn

from captioner import LSTMWithAttention
from captioner.beam_search import search
from captioner.decoder import DecoderState
from captioner.options import DecodingOptions
from captioner.pointing import Mixture, PointingGate
from captioner.vocabulary import END_ID, PAD_ID, START_ID

V, D, H, P, C = 12, 6, 14, 5, 4
IDS = torch.tensor([[7, 8], [5, 5], [7, 8], [9, 6]])
"""Nouns of four classes; the first and the third share one, the second has one form."""
PAIRS = [(5, 5), (7, 8), (9, 6)]


def build_gate(hidden_size: int = H) -> PointingGate:
    """A gate whose every part has weights that matter."""
    gate = PointingGate(D, hidden_size, C)
    gate.set_nouns(IDS)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return gate


def build_decoder(query: str = "before") -> LSTMWithAttention:
    """A decoder with a gate that is wide open."""
    decoder = LSTMWithAttention(
        V, D, 10, H, 8, 9, gate=True, deep_output=True, dropout=0.5, classes=C, temperature=1.7,
        attention_query="after" if query == "after" else "before",
    )  # fmt: skip
    decoder.pointing = build_gate()
    with torch.no_grad():
        decoder.pointing.gate.bias.fill_(3.0)
        decoder.output_bias.normal_()
    return decoder.eval()


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, class logits where the decoder looks, hidden states, and no noun named yet."""
    named = torch.zeros(rows, len(PAIRS), dtype=torch.bool)
    return torch.randn(rows, V), torch.randn(rows, C), torch.randn(rows, H), named


@torch.no_grad()
def noun_shares(gate: PointingGate, seen: Tensor, named: Tensor) -> dict[tuple[int, int], float]:
    """What one row's classes make of each noun, classes of a noun added up."""
    classes = (gate.sharpness.exp() * seen).exp()
    shares = dict.fromkeys(PAIRS, 0.0)
    for number, pair in enumerate(map(tuple, IDS.tolist())):
        shares[pair] += float(classes[number] / classes.sum())
    return {
        pair: 0.0 if named[number] else share for number, (pair, share) in enumerate(shares.items())
    }


def test_the_mixture_is_the_formula_written_out_by_hand() -> None:
    gate = build_gate()
    logits, seen, hidden, named = inputs(4)
    named[1, 1] = named[2, 0] = True
    with torch.no_grad():
        gate.gate.weight.zero_()  # the gate then depends on the classes alone
        mixture = gate(logits, seen, hidden, named)
        for row in range(4):
            said = logits[row].exp() / logits[row].exp().sum()
            classes = (gate.sharpness.exp() * seen[row]).softmax(dim=0)
            opening = float((gate.gate.bias + gate.nameable @ classes).sigmoid())
            shares = noun_shares(gate, seen[row], named[row])
            plural = float(gate.plural(hidden[row]).sigmoid())
            read = torch.zeros(V)
            for (singular, several), share in shares.items():
                read[singular] += (1 - plural) * share / sum(shares.values())
                read[several] += plural * share / sum(shares.values())
            wanted = (1 - opening) * said + opening * read
            torch.testing.assert_close(mixture.logprobs[row].exp(), wanted)
            torch.testing.assert_close(mixture.vocabulary[row].exp(), said)
            assert float(mixture.closed[row].exp()) == pytest.approx(1 - opening, rel=1e-4)


def test_the_mixture_is_a_distribution_however_far_the_gate_is_open() -> None:
    gate = build_gate()
    logits, seen, hidden, named = inputs(6)
    named[0, 1] = True
    for bias in (-50.0, -3.0, 0.0, 3.0):
        with torch.no_grad():
            gate.gate.bias.fill_(bias)
        total = gate(logits, seen, hidden, named).logprobs.exp().sum(dim=1)
        torch.testing.assert_close(total, torch.ones(6))


def test_a_new_gate_is_nearly_closed_and_learns_no_class() -> None:
    gate = PointingGate(D, H, C)
    gate.set_nouns(IDS)
    logits, seen, hidden, named = inputs(200)
    opened = 1 - gate(logits, seen, hidden, named).closed.exp()
    assert 0.03 < float(opened.detach().mean()) < 0.08
    assert not any(parameter.requires_grad for parameter in gate.classifier.parameters())


def test_a_closed_gate_leaves_every_word_to_the_vocabulary() -> None:
    gate = build_gate()
    gate.close()
    logits, seen, hidden, named = inputs(3)
    mixture = gate(logits, seen, hidden, named)
    torch.testing.assert_close(mixture.logprobs, logits.log_softmax(dim=1))
    for word in gate.words.tolist():
        assert mixture.recognized(torch.full((3,), word)).tolist() == [0, 0, 0]


def test_probabilities_of_classes_that_share_a_noun_are_added() -> None:
    gate = build_gate()
    _, seen, _, named = inputs(3)
    with torch.no_grad():
        classes, nouns = gate.recognize(seen, named)
    torch.testing.assert_close(classes.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(nouns[:, PAIRS.index((7, 8))], classes[:, 0] + classes[:, 2])
    torch.testing.assert_close(nouns[:, PAIRS.index((5, 5))], classes[:, 1])
    for row in range(3):
        wanted = list(noun_shares(gate, seen[row], named[row]).values())
        torch.testing.assert_close(nouns[row], torch.tensor(wanted))


def test_the_gate_decides_by_what_both_would_say_and_how_sure_they_are() -> None:
    gate = build_gate()
    logits, seen, hidden, named = inputs(1)
    with torch.no_grad():
        said = dict(
            zip(gate.words.tolist(), logits.softmax(dim=1)[0, gate.words].tolist(), strict=True)
        )
        read = nn.functional.linear(hidden, *gate.hidden_weights)
        found, _ = gate.point(torch.tensor([list(said.values())]).log(), seen, read, named)
        shares = torch.tensor(list(noun_shares(gate, seen[0], named[0]).values()))
    words = torch.tensor([said[5], said[7] + said[8], said[9] + said[6]])
    best, second = shares.sort(descending=True).values[:2]
    signs = [
        best,
        best.log() / 4,
        second.log() / 4,
        -(shares * shares.log()).sum() / 4,
        words.sum(),
        words.sum().log() / 4,
        words[shares.argmax()].log() / 4,
        (words * shares).sum() / words.sum(),
    ]
    wanted = gate.gate(gate.compare(torch.cat([hidden[0], torch.stack(signs)])))
    wanted = wanted + seen.mul(gate.sharpness.exp()).softmax(dim=1) @ gate.nameable
    torch.testing.assert_close(found[0], wanted, atol=1e-3, rtol=1e-3)


def test_a_noun_whose_plural_is_its_singular_has_the_share_of_both() -> None:
    gate = build_gate()
    _, seen, hidden, named = inputs(3)
    with torch.no_grad():
        given = nn.functional.linear(hidden, *gate.hidden_weights)
        _, read = gate.point(torch.zeros(3, 5), seen, given, named)
        _, nouns = gate.recognize(seen, named)
        plural = gate.plural(hidden).sigmoid().squeeze(1)
    columns = {word: column for column, word in enumerate(gate.words.tolist())}
    torch.testing.assert_close(read[:, columns[5]].exp(), nouns[:, 0])
    torch.testing.assert_close(read[:, columns[7]].exp(), (1 - plural) * nouns[:, 1])
    torch.testing.assert_close(read[:, columns[8]].exp(), plural * nouns[:, 1])
    torch.testing.assert_close(read.exp().sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("ids", [[[5, 6]], [[5, 5]], [[5, 6], [5, 6]]])
def test_a_single_noun_can_be_pointed_to(ids: list[list[int]]) -> None:
    """The gate compared the two nouns that are most probable, and failed where there was one."""
    gate = PointingGate(D, H, len(ids))
    gate.set_nouns(torch.tensor(ids))
    logits, seen, hidden, _ = inputs(2)
    seen = seen[:, : len(ids)]
    for named in (False, True):
        mixture = gate(logits, seen, hidden, torch.full((2, 1), named))
        assert mixture.logprobs.isfinite().all()


def test_the_share_that_was_read_off_the_photo_is_the_gates_part_of_the_probability() -> None:
    gate = build_gate()
    logits, seen, hidden, named = inputs(4)
    with torch.no_grad():
        mixture = gate(logits, seen, hidden, named)
        given = nn.functional.linear(hidden, *gate.hidden_weights)
        opening, read = gate.point(mixture.vocabulary[:, gate.words], seen, given, named)
        for column, word in enumerate(gate.words.tolist()):
            part = opening.sigmoid().squeeze(1) * read[:, column].exp()
            wanted = part / mixture.logprobs[:, word].exp()
            found = mixture.recognized(torch.full((4,), word))
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        for word in (PAD_ID, END_ID, 4, 11):  # no nouns
            found = mixture.recognized(torch.full((4,), word))
            torch.testing.assert_close(found, torch.zeros(4), atol=1e-5, rtol=0)


def test_a_share_stays_from_0_to_1_where_rounding_would_leave_that() -> None:
    logprobs = torch.tensor([[-2.0, -30.0]])
    mixture = Mixture(logprobs, logprobs + 1e-6, torch.zeros(1, 1))
    assert float(mixture.recognized(torch.tensor([0]))) == 0


def test_where_the_decoder_looks_is_weighed_with_a_little_of_the_whole() -> None:
    class_logits = torch.randn(2, P, C)
    alpha = torch.rand(6, P).softmax(dim=1)
    seen = build_gate().attend(alpha, class_logits)
    for row in range(6):
        photo = class_logits[row // 3]
        wanted = 0.75 * (alpha[row] @ photo) + 0.25 * photo.mean(dim=0)
        torch.testing.assert_close(seen[row], wanted)


def test_gradients_reach_all_of_the_gate_and_none_of_the_classifier() -> None:
    gate = build_gate()
    logits, seen, hidden, named = inputs(8)
    loss = -gate(logits, seen, hidden, named).logprobs[:, 8].mean()
    loss.backward()
    for name, parameter in gate.named_parameters():
        if name.startswith("classifier."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_a_gate_learns_to_open_where_the_vocabulary_lacks_the_noun() -> None:
    gate = PointingGate(D, H, C)
    gate.set_nouns(IDS)
    classes = torch.arange(64) % C
    seen = 6.0 * nn.functional.one_hot(classes, C)
    noun = torch.arange(64) // C % 2 == 0  # else the next word is no noun
    hidden = torch.where(noun, 1.0, -1.0).unsqueeze(1) * torch.ones(64, H)
    targets = torch.where(noun, IDS[classes, 0], 4)
    logits = torch.zeros(64, V)
    logits[:, 4] = 6.0
    named = torch.zeros(64, len(PAIRS), dtype=torch.bool)
    optimizer = torch.optim.Adam([p for p in gate.parameters() if p.requires_grad], lr=0.05)
    for _ in range(60):
        loss = nn.functional.nll_loss(gate(logits, seen, hidden, named).logprobs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logprobs = gate(logits, seen, hidden, named).logprobs
    assert torch.equal(logprobs.argmax(dim=1), targets)


def padded(captions: list[list[int]]) -> Tensor:
    width = max(map(len, captions)) + 1
    rows = [[START_ID, *ids] for ids in captions]
    return torch.tensor([row + [PAD_ID] * (width - len(row)) for row in rows])


CAPTIONS = [[7, 4, 8, 5], [10], [5, 7, 9, 6, 11, 7], [8, 7]]


@pytest.mark.parametrize("query", ["before", "after"])
def test_teacher_forcing_is_repeated_stepping_with_an_open_gate(query: str) -> None:
    decoder = build_decoder(query)
    features = torch.randn(2, P, 2 * D)
    token_ids, photo_of_row = padded(CAPTIONS), torch.tensor([1, 0, 1, 1])
    output = decoder.predict(features, token_ids, photo_of_row)
    logits, alphas = decoder(features, token_ids, photo_of_row)
    assert output.mixture is not None
    torch.testing.assert_close(output.logits, output.mixture.logprobs / 1.7)
    assert float((1 - output.mixture.closed.detach().exp()).max()) > 0.5
    for row, photo in enumerate(photo_of_row.tolist()):
        state = decoder.initial_state(features[photo : photo + 1])
        for t in range(len(CAPTIONS[row]) + 1):
            step = decoder.step(token_ids[row, t : t + 1], state)
            torch.testing.assert_close(step.logits[0], logits[row, t], atol=1e-5, rtol=0)
            torch.testing.assert_close(step.alpha[0], alphas[row, t])
            state = step.state


def test_the_decoder_looks_at_its_own_features_and_names_by_the_pretrained_ones() -> None:
    decoder = build_decoder()
    features = torch.randn(1, P, 2 * D)
    changed = features.clone()
    changed[:, :, D:] = torch.randn(1, P, D)
    one, other = (decoder.initial_state(given) for given in (features, changed))
    first, second = (decoder.step(torch.tensor([START_ID]), state) for state in (one, other))
    assert torch.equal(first.alpha, second.alpha)
    assert torch.equal(first.state.hidden, second.state.hidden)
    assert not torch.allclose(first.logits, second.logits)


def pointed(decoder: LSTMWithAttention, state: DecoderState, word: int) -> Tensor:
    """The probability (N, L) of each noun as seen, after a word."""
    after = decoder.step(torch.full((state.num_rows,), word), state)
    assert decoder.pointing is not None
    seen = decoder.pointing.attend(after.alpha, after.state.class_logits)
    return decoder.pointing.recognize(seen, after.state.named)[1]


@pytest.mark.parametrize("form", [7, 8])
def test_a_noun_that_was_said_is_not_pointed_to_again_in_either_number(form: int) -> None:
    decoder = build_decoder()
    state = decoder.initial_state(torch.randn(2, P, 2 * D))
    assert not state.named.any()
    state = decoder.step(torch.full((2,), START_ID), state).state
    assert (pointed(decoder, state, 4) > 0).all()
    after = pointed(decoder, state, form)
    assert (after[:, PAIRS.index((7, 8))] == 0).all()
    assert (after[:, PAIRS.index((5, 5))] > 0).all()
    state = decoder.step(torch.full((2,), form), state).state
    later = pointed(decoder, state, 4)  # nor any number of words later
    assert (later[:, PAIRS.index((7, 8))] == 0).all()


def test_what_was_named_stays_with_its_row() -> None:
    decoder = build_decoder()
    one_each = decoder.initial_state(torch.randn(3, P, 2 * D))
    one_each = decoder.step(torch.tensor([7, 4, 9]), one_each).state
    wanted = [[False, True, False], [False, False, False], [False, False, True]]
    assert one_each.named.tolist() == wanted
    selected = one_each.select(torch.tensor([2, 2, 0, 1]))
    assert selected.named.tolist() == [wanted[row] for row in (2, 2, 0, 1)]
    shared = one_each.shared_by(2)
    assert shared.named.tolist() == [wanted[row] for row in (0, 0, 1, 1, 2, 2)]
    step = decoder.step(torch.tensor([4, 5, 4, 6, 4, 8]), shared).state
    assert step.cut(1).named.tolist() == wanted
    last = step.select(torch.tensor([5, 1, 3]))
    assert last.named.tolist() == [[False, True, True], [True, True, False], [False, False, True]]
    assert torch.equal(last.class_logits, one_each.class_logits[[2, 0, 1]])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_search_reports_the_probabilities_of_teacher_forcing_with_an_open_gate(
    beam_size: int,
) -> None:
    """Rows that change places in a beam keep what they have named."""
    decoder = build_decoder()
    features = torch.randn(3, P, 2 * D)
    options = DecodingOptions(beam_size=beam_size, max_length=7, min_length=3, no_repeat_ngram=0)
    with torch.inference_mode():
        found = search(decoder.step, decoder.initial_state(features), options)
        said: set[int] = set()
        for photo, hypotheses in enumerate(found):
            for hypothesis in hypotheses:
                words = hypothesis.token_ids
                said.update(words)
                ids = torch.tensor([[START_ID, *words]])
                logits, _ = decoder(features[photo : photo + 1], ids)
                logprobs = logits[0].log_softmax(dim=1)[range(len(words)), words]
                told = torch.tensor([choice.logprob for choice in hypothesis.choices])
                torch.testing.assert_close(told, logprobs)
    assert said & set(IDS.flatten().tolist())


def test_a_decoder_without_a_gate_has_nothing_of_one() -> None:
    decoder = LSTMWithAttention(V, D, 10, H, 8, deep_output=True).eval()
    state = decoder.initial_state(torch.randn(2, P, D))
    assert state.named.shape == (2, 0)
    assert state.class_logits.shape == (2, P, 0)
    output = decoder.predict(torch.randn(2, P, D), padded([[4], [5]]), torch.arange(2))
    assert output.mixture is None


def test_a_gate_opened_wider_names_more() -> None:
    gate = PointingGate(feature_size=4, hidden_size=3, classes=2)
    gate.set_nouns(torch.tensor([[4, 5], [6, 7]]))
    logits, seen, hidden = torch.randn(1, 9), torch.randn(1, 2), torch.randn(1, 3)
    named = torch.zeros(1, 2, dtype=torch.bool)
    before = gate(logits, seen, hidden, named).closed
    gate.open(2.0)
    after = gate(logits, seen, hidden, named).closed
    odds = [(-torch.expm1(closed) / closed.exp()).log() for closed in (before, after)]
    torch.testing.assert_close(odds[1] - odds[0], torch.tensor([[2.0]]), atol=1e-4, rtol=1e-4)
