"""Batches of photos of which some may be unreadable, for the command line and for Ray."""

from collections.abc import Sequence

from PIL import Image

from captioner.images import READ_MIN_SIDE, Photo, load_image
from captioner.model import Features, ImageCaptioningModel

BATCH_SIZE = 16
"""Photos captioned together by default; few, so that memory stays small."""


def encode_readable(
    model: ImageCaptioningModel, photos: Sequence[Photo | OSError | ValueError]
) -> list[Features | OSError | ValueError]:
    """Encode those photos of a batch that can be read.

    Args:
        photos: an error in place of a photo is passed on as it is.

    Returns:
        For each photo its features, or why it cannot be read.
    """
    read = [_read(photo) for photo in photos]
    images = [item for item in read if isinstance(item, Image.Image)]
    features = iter(model.encode_batch(images))
    return [next(features) if isinstance(item, Image.Image) else item for item in read]


def _read(photo: Photo | OSError | ValueError) -> Image.Image | OSError | ValueError:
    if isinstance(photo, (OSError, ValueError)):
        return photo
    try:
        return load_image(photo, READ_MIN_SIDE)
    except (OSError, ValueError) as error:
        return error
