"""Everything that is O(N): distances, neighbours, clusters, greedy selection, column statistics over many embeddings.

Four ideas carry it:

* **Tiles.** Embeddings ``(N, d)`` are numpy arrays of float16 or float32, often memory-mapped. They are read a tile of
  rows at a time and worked on by torch, on any device. Memory is bounded by the tile and by a few numbers a row,
  never by N x N.
* **Float64 inside, float32 out.** ``|a|2 + |b|2 - 2ab`` loses up to ``|a|2`` times the rounding unit. In float64 that
  is far below what float16 or float32 embeddings can tell apart, and rounding the result to float32 removes what is
  left of it: equal rows get equal distances in whatever order a processor adds. So the answers are those of a
  float64 brute force, and the same on one thread, on many, and on a GPU.
* **Equal means zero.** A squared distance below :data:`.arrays.SAME` times ``|a|2 + |b|2`` is exactly 0.
* **Ties go to the lowest index**, always.
"""

from .arrays import (
    SAME,
    Device,
    Floats,
    Indices,
    Rows,
    column_moments,
    finite_rows,
    gather,
    probabilities_of,
    tile_elements,
    tiles,
    tiles_of,
)
from .clustering import Clusters, kmeans
from .covering import Kernel, ball, gaussian, greedy_coverage
from .distances import References, all_squared_distances, nearest_neighbours, nearest_others
from .farthest import farthest_points, most_central
from .memory import sparing
from .sampling import d2_sampling
from .spaces import EmbeddingSpace, GradientSpace, Space, nearest_squared_distances, squared_norms

__all__ = [
    "SAME",
    "Clusters",
    "Device",
    "EmbeddingSpace",
    "Floats",
    "GradientSpace",
    "Indices",
    "Kernel",
    "References",
    "Rows",
    "Space",
    "all_squared_distances",
    "ball",
    "column_moments",
    "d2_sampling",
    "farthest_points",
    "finite_rows",
    "gather",
    "gaussian",
    "greedy_coverage",
    "kmeans",
    "most_central",
    "nearest_neighbours",
    "nearest_others",
    "nearest_squared_distances",
    "probabilities_of",
    "sparing",
    "squared_norms",
    "tile_elements",
    "tiles",
    "tiles_of",
]
