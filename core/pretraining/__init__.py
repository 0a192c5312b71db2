"""Encoders trained on imagery without labels, by contrast: two views of a tile are alike, views of others are not."""
