"""Encoders: image in, vector out, frozen while the analyst labels."""
