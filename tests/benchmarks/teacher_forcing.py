"""The cost of layouts of captions in teacher forcing, side by side in one run.

    python -m tests.benchmarks.teacher_forcing results.csv [--autocast]

One training step (forward and backward of decoder and loss) at the sizes of the default recipe,
on random features and real captions. The layouts alternate, batch by batch; each time is the
median over batches of the processor time, so that other work on a shared machine disturbs the
ratios little.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.decoder import LSTMWithAttention, TeacherForcingOutput
from captioner.vocabulary import PAD_ID, Vocabulary
from train.config import FitConfig
from train.data import read_captions
from train.objective import caption_inputs, caption_losses

REGIONS, GRID, FEATURE_SIZE = 64, (8, 8), 1280
Layout = Callable[[LSTMWithAttention, Tensor, Tensor, Tensor], TeacherForcingOutput]


def current(
    decoder: LSTMWithAttention, features: Tensor, token_ids: Tensor, photo_of_row: Tensor
) -> TeacherForcingOutput:
    """Columns of captions that have all ended are cut off, the long captions of a photo first."""
    return decoder.predict(features, token_ids, photo_of_row)


def rectangle(
    decoder: LSTMWithAttention, features: Tensor, token_ids: Tensor, photo_of_row: Tensor
) -> TeacherForcingOutput:
    """All captions are padded to the longest, all photos to the most captions."""
    counts = torch.bincount(photo_of_row, minlength=len(features))
    captions = int(counts.max())
    order = photo_of_row.argsort(stable=True)
    number = torch.empty_like(photo_of_row)
    first = (counts.cumsum(0) - counts)[photo_of_row[order]]
    number[order] = torch.arange(len(order), device=order.device) - first
    slots = photo_of_row * captions + number  # (N,)
    padded = token_ids.new_full((len(features) * captions, token_ids.shape[1]), PAD_ID)
    padded[slots] = token_ids
    state = decoder.initial_state(features).shared_by(captions)
    embedded = decoder.embedding(padded)  # (B * K, T, D_embedding)
    read: list[tuple[Tensor, ...]] = []
    for words in embedded.unbind(dim=1):
        alpha, state = decoder._advance(words, state)
        read.append((state.hidden, state.context, words, alpha))
    rows, steps = (token_ids != PAD_ID).nonzero(as_tuple=True)
    hidden, context, words, alphas = (
        torch.stack(parts, dim=1)[slots[rows], steps] for parts in zip(*read, strict=True)
    )
    return TeacherForcingOutput(rows, steps, decoder._logits(hidden, context, words), alphas)


def build_decoder(config: FitConfig, vocab_size: int) -> LSTMWithAttention:
    return LSTMWithAttention(
        vocab_size,
        FEATURE_SIZE,
        config.embedding_size,
        config.hidden_size,
        config.attention_size,
        config.projection_size,
        GRID if config.position else None,
        config.attention_query,
        config.gate,
        config.deep_output,
        config.dropout,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--batches", type=int, default=15)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--autocast", action="store_true")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    config = FitConfig(captions=flags.captions, photos=Path(), name="benchmark")
    photos = read_captions(flags.captions)
    texts = (text for photo in photos for text in photo.captions)
    vocabulary = Vocabulary.build(texts, config.min_frequency, config.keep_punctuation)
    decoder = build_decoder(config, len(vocabulary))
    layouts: dict[str, Layout] = {"current": current, "rectangle": rectangle}
    times: dict[str, list[float]] = {name: [] for name in layouts}
    choose = random.Random(0)
    for number in range(flags.batches + 1):  # the first warms up and does not count
        batch = choose.sample(photos, flags.photos)
        rows = [vocabulary.encode(text) for photo in batch for text in photo.captions]
        cut = [torch.tensor([*ids[:-1][: config.max_length + 1], ids[-1]]) for ids in rows]
        token_ids = pad_sequence(cut, batch_first=True, padding_value=PAD_ID)
        owners = [index for index, photo in enumerate(batch) for _ in photo.captions]
        features = torch.randn(flags.photos, REGIONS, FEATURE_SIZE)
        for name, layout in layouts.items():
            decoder.zero_grad()
            started = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, flags.autocast):
                output = layout(decoder, features, caption_inputs(token_ids), torch.tensor(owners))
            caption_losses(output, token_ids, smoothing=config.label_smoothing).total.backward()
            if number:
                times[name].append(time.process_time() - started)
    base = statistics.median(times["current"])
    for name, found in times.items():
        median = statistics.median(found)
        ratios = [one / other for one, other in zip(found, times["current"], strict=True)]
        print(
            f"{name:<12}{1000 * median:8.0f} ms  x {median / base:.2f}, "
            f"median of ratios {statistics.median(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
