"""The rules on the next token, and sampling from what they leave."""

import pytest
import torch

from captioner.decoding import (
    block_repeated_ngrams,
    force_token,
    keep_top_k,
    keep_top_p,
    sample,
)
from captioner.vocabulary import SPECIALS
from tests.scripted_decoder import A, B

SIZE = len(SPECIALS) + 4
NOTHING = torch.empty(1, 0, dtype=torch.long)


def kept(logprobs: torch.Tensor) -> list[list[int]]:
    return (logprobs > -torch.inf).nonzero().tolist()


def test_the_rule_on_runs_blocks_just_the_word_that_would_complete_one() -> None:
    token_ids = torch.tensor([[A, B, A], [A, A, B]])
    blocked = block_repeated_ngrams(torch.zeros(2, SIZE), token_ids, n=2).isinf()
    assert blocked.nonzero().tolist() == [[0, B]]


def test_the_only_word_that_may_be_said_keeps_its_probability() -> None:
    logprobs = torch.tensor([[-1.0, -2.0, -3.0]])
    assert force_token(logprobs, NOTHING, 1).tolist() == [[-torch.inf, -2.0, -torch.inf]]


def test_the_most_probable_are_kept_and_more_than_there_are_is_all() -> None:
    logprobs = torch.tensor([[0.1, 0.4, 0.3, 0.2], [0.4, 0.1, 0.2, 0.3]]).log()
    assert kept(keep_top_k(logprobs, NOTHING, 2)) == [[0, 1], [0, 2], [1, 0], [1, 3]]
    assert len(kept(keep_top_k(logprobs, NOTHING, 9))) == 8


@pytest.mark.parametrize(
    ("p", "wanted"),
    [(0.3, [1]), (0.5, [1]), (0.51, [1, 2]), (0.9, [1, 2, 3]), (1.0, [0, 1, 2, 3])],
)
def test_the_nucleus_is_the_fewest_tokens_of_so_much_probability(
    p: float, wanted: list[int]
) -> None:
    logprobs = torch.tensor([[0.0625, 0.5, 0.25, 0.1875]]).log()
    assert [token for _, token in kept(keep_top_p(logprobs, NOTHING, p))] == wanted


def test_the_nucleus_is_of_what_other_rules_have_left() -> None:
    logprobs = torch.tensor([[0.5, 0.0, 0.25, 0.25]]).log()
    logprobs[0, 0] = -torch.inf
    assert [token for _, token in kept(keep_top_p(logprobs, NOTHING, 0.4))] == [2]


def test_an_index_is_sampled_as_often_as_its_probability_and_never_an_impossible_one() -> None:
    probabilities = torch.tensor([[0.0, 2.0, 0.0, 6.0, 0.0]]).expand(1001, -1)
    sampled = sample(
        probabilities, torch.linspace(0, 1, 1001)
    )  # 1 is what rounding may make of less
    assert torch.bincount(sampled, minlength=5).tolist() == [0, 250, 0, 751, 0]
