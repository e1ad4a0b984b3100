"""Rules on what may be said next: small functions on log-probabilities, applied in order.

Know token ids and numbers; know nothing of decoders, searches or words as text. Shape letters are
those of `captioner.model`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from captioner.vocabulary import END_ID, PAD_ID, START_ID, UNK_ID

Rule = Callable[[Tensor, Tensor], Tensor]
"""Changes logprobs (N, V), as a rule some entries to -inf, given the token_ids (N, t) so far."""


def ban_special_tokens(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    """Never say `<pad>`, `<sos>` or `<unk>`."""
    return ban_words(logprobs, token_ids, (PAD_ID, START_ID, UNK_ID))


def ban_words(logprobs: Tensor, token_ids: Tensor, banned: Sequence[int]) -> Tensor:
    """Never say these."""
    return logprobs.index_fill(1, torch.tensor(banned, device=logprobs.device), -torch.inf)


def hold_back_end(logprobs: Tensor, token_ids: Tensor, min_length: int) -> Tensor:
    """Do not end before `min_length` words."""
    if token_ids.shape[1] >= min_length:
        return logprobs
    return ban_words(logprobs, token_ids, (END_ID,))


def block_repeated_ngrams(logprobs: Tensor, token_ids: Tensor, n: int) -> Tensor:
    """Do not complete a run of `n` words that the sequence holds already."""
    length = token_ids.shape[1]
    if length < n:
        return logprobs
    runs = token_ids.unfold(1, n, 1)  # (N, length - n + 1, n)
    tail = token_ids[:, length - n + 1 :].unsqueeze(1)  # (N, 1, n - 1)
    repeated = (runs[:, :, : n - 1] == tail).all(dim=2)
    rows, places = repeated.nonzero(as_tuple=True)
    blocked = logprobs.clone()
    blocked[rows, runs[rows, places, n - 1]] = -torch.inf
    return blocked


def say_only(logprobs: Tensor, token_ids: Tensor, token_id: int) -> Tensor:
    """Say this and nothing else."""
    alone = torch.full_like(logprobs, -torch.inf)
    alone[:, token_id] = logprobs[:, token_id]
    return alone


def keep_top_k(logprobs: Tensor, token_ids: Tensor, k: int) -> Tensor:
    """Say one of the `k` most probable tokens."""
    least = logprobs.topk(min(k, logprobs.shape[1]), dim=1).values[:, -1:]
    return logprobs.masked_fill(logprobs < least, -torch.inf)


def keep_top_p(logprobs: Tensor, token_ids: Tensor, p: float) -> Tensor:
    """Say one of the fewest tokens that together are at least so probable, among those left.

    Source: Holtzman et al. (arXiv:1904.09751), sec. 3.1, nucleus sampling.
    """
    ordered, places = logprobs.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered
    dropped = torch.zeros_like(before, dtype=torch.bool).scatter(1, places, before >= p)
    return logprobs.masked_fill(dropped, -torch.inf)


def draw(probabilities: Tensor, chance: Tensor) -> Tensor:
    """One index per row of (N, V), as likely as its probability; (N,).

    Does on a CPU in a millisecond what `multinomial` takes twenty for.

    Args:
        probabilities: (N, V), at least 0; they need not sum to 1.
        chance: (N,), drawn evenly from 0 to below 1.
    """
    below = probabilities.cumsum(dim=1)
    sought = chance.unsqueeze(1) * below[:, -1:]
    drawn = torch.searchsorted(below, sought, right=True).squeeze(1)
    # Rounding may make 0.99999997 * total the total: stay at the last index that can be drawn.
    last = probabilities.shape[1] - 1 - (probabilities > 0).long().flip(1).argmax(dim=1)
    return torch.minimum(drawn, last)
