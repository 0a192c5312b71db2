"""Rasters as tiles: bands and units of Sentinel-2, the tile grid, areas of interest, reading ahead."""
