"""Training: from photos and captions to a checkpoint. Imports `captioner`, never the reverse."""
