"""Text before photos: a decoder learns the language first. Knows captions alone."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Subset
from tqdm import tqdm

from captioner.model import ImageCaptioningModel
from captioner.vocabulary import PAD_ID
from train.batches import build_loader
from train.config import FitConfig
from train.data import Flickr30kDataset, read_captions
from train.objective import autocast, caption_inputs, caption_losses
from train.optim import warm_up_and_cosine


def warm_up(config: FitConfig, model: ImageCaptioningModel, train_set: Flickr30kDataset) -> None:
    """Teach the decoder to speak before it sees: text alone, every photo the mean of photos.

    Raises:
        FileNotFoundError, ValueError: as read_captions.
    """
    assert config.warm_up_captions is not None
    torch.manual_seed(config.seed)
    texts = [text for photo in read_captions(config.warm_up_captions) for text in photo.captions]
    encoded = (model.vocabulary.encode(text)[: config.max_length + 2] for text in texts)
    captions = [torch.tensor(token_ids) for token_ids in encoded]
    mean = mean_region(config, model, train_set)
    decoder = model.decoder.train()
    size = 8 * config.batch_photos
    steps = config.warm_up_epochs * -(-len(captions) // size)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=config.lr, betas=(0.9, 0.98))
    schedule = LambdaLR(optimizer, lambda step: warm_up_and_cosine(step / steps))
    bar = tqdm(range(steps), desc="warming up", unit="batch", leave=False)
    order: list[int] = []
    for _ in bar:
        order = order or torch.randperm(len(captions)).tolist()
        chosen, order = order[:size], order[size:]
        token_ids = pad_sequence([captions[i] for i in chosen], True, PAD_ID).to(config.device)
        with autocast(config):
            zeros = torch.zeros(len(chosen), dtype=torch.long, device=config.device)
            said = decoder.predict(mean, caption_inputs(token_ids), zeros)
        losses = caption_losses(said, token_ids, smoothing=config.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), config.clip_norm)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{float(losses.nll):.3f}")


@torch.inference_mode()
def mean_region(
    config: FitConfig, model: ImageCaptioningModel, dataset: Flickr30kDataset
) -> Tensor:
    """The mean of regions, (1, 1, D), over up to 256 photos."""
    batches = build_loader(config, Subset(dataset, range(min(256, len(dataset)))))
    left = dataset.source.left
    regions = [model.encoder(batch.photos.to(config.device), left) for batch in batches]
    return torch.cat([part.flatten(0, 1) for part in regions]).mean(dim=0)[None, None].clone()
