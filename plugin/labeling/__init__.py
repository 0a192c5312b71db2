"""Labelling on the map: the tiles that are asked, the keys, the layers."""
