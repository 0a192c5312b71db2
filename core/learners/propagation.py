"""Label propagation: labels spread along the edges of a graph that joins each tile to those that look most like it.

Tiles of one class lie in the same parts of the embedding space, and there are many more of them than labels. So a
label says something about its neighbours, they about theirs, and so on, less with every step (Zhou et al. 2004). The
edges are the cosines of embeddings, sharpened, as in Iscen et al. 2019.

The graph depends on the embeddings alone and is built once. It joins a random sample of all tiles, so that time and
memory are bounded however many there are; labelled tiles outside the sample are joined to it when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg
from threadpoolctl import threadpool_limits

from ..kernels import Device, Floats, Indices, Rows, finite_rows, nearest_neighbours, nearest_others
from ..monitor import SILENT, Monitor

Values = NDArray[np.float64]

_SHARPNESS = 3
"""Power of a cosine in an edge's weight (gamma of Iscen et al. 2019)."""
_EXACT = 1e-6
"""Conjugate gradients stop at this residual, relative to the labels."""


@dataclass(frozen=True)
class Graph:
    """Rows joined to their nearest others by the angle between embeddings.

    rows (n,): global indices, ascending. neighbours (n, k): places in ``rows``, nearest first, never the row's own.
    cosines (n, k) float32.
    """

    rows: Indices
    neighbours: Indices
    cosines: Floats


def neighbour_graph(
    embeddings: Rows, neighbours: int, most: int, *, device: Device = "cpu", monitor: Monitor = SILENT
) -> Graph:
    """The graph of all rows, or of a random sample of ``most`` that depends on nothing but their number.

    Rows that are not finite are left out. The sample is held in memory as float32 of unit length while this runs.

    Args:
        embeddings: (N, d).
        neighbours: k, cut to what there is.
        most: rows in the graph.
        device: where to compute.
        monitor: progress and cancellation.
    """
    rows = np.flatnonzero(finite_rows(embeddings, monitor.part(0.0, 0.1)))
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    places = np.arange(len(rows))
    unit = _unit(embeddings, rows)
    found, distances = nearest_others(unit, places, places, neighbours, device=device, monitor=monitor.part(0.1, 1.0))
    return Graph(rows, found, _cosines(distances))


def joined(
    graph: Graph,
    embeddings: Rows,
    allowed: Indices,
    needed: Indices,
    *,
    device: Device = "cpu",
    monitor: Monitor = SILENT,
) -> tuple[Indices, sparse.csr_matrix]:
    """The part of a graph that may be looked at, with rows that must not be missing.

    Args:
        graph: of these embeddings.
        embeddings: (N, d), finite in all rows of the graph and all needed.
        allowed: rows (m,) of the graph to keep, those needed among them or not.
        needed: rows to add where the graph does not have them, joined to their nearest in it.
        device: where to compute.
        monitor: progress and cancellation.

    Returns:
        Rows (n,), ascending, and S = D^-1/2 W D^-1/2 (n, n): W are the weights of the edges, symmetric, D their sums.
    """
    inside = np.flatnonzero(np.isin(graph.rows, np.union1d(allowed, needed)))
    weights = _weights(graph.neighbours, graph.cosines, len(graph.rows))[inside][:, inside]
    rows, new = graph.rows[inside], np.setdiff1d(needed, graph.rows)
    if len(new):
        rows = np.concatenate([rows, new])
        places = np.arange(len(rows))
        old, late = places[: len(inside)], places[len(inside) :]
        k = graph.neighbours.shape[1]
        found, distances = nearest_neighbours(_unit(embeddings, rows), late, old, k, device=device, monitor=monitor)
        links = _weights(found, _cosines(distances), len(old))
        weights = sparse.bmat([[weights, None], [links, sparse.csr_matrix((len(new), len(new)))]], format="csr")
        order = np.argsort(rows)
        rows, weights = rows[order], weights[order][:, order]
    weights = weights + weights.T
    sums = np.asarray(weights.sum(axis=1)).ravel()
    scale = sparse.diags(np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0))
    return rows, (scale @ weights @ scale).tocsr()


def propagate(edges: sparse.csr_matrix, labels: Values, alpha: float, *, monitor: Monitor = SILENT) -> Floats:
    """Solve (I - alpha S) F = Y for every column by conjugate gradients (Zhou et al. 2004, eq. 4).

    Args:
        edges: S (n, n), normalised.
        labels: Y (n, C), 0 where nothing is known.
        alpha: from 0 to below 1: how much of what a row gets comes from its neighbours and not from its own label.
        monitor: progress and cancellation.

    Returns:
        F (n, C) float32, not negative.
    """
    system = sparse.identity(len(labels), format="csr") - alpha * edges
    spread = np.zeros(labels.shape, dtype=np.float32)
    with threadpool_limits(1, "blas"):  # on vectors this short threads wait for one another: five times as long
        for column in range(labels.shape[1]):
            monitor.advance(column / labels.shape[1], "Spreading the labels")
            spread[:, column] = cg(system, labels[:, column], rtol=_EXACT)[0]
    return spread.clip(min=0.0)


def _unit(embeddings: Rows, rows: Indices) -> Floats:
    """Some rows (n, d) float32 brought to length 1; a row of zeros stays what it is."""
    unit = np.array(embeddings[rows], dtype=np.float32)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths > 0.0, lengths, np.float32(1.0))
    return unit


def _cosines(squared_distances: Floats) -> Floats:
    """Of unit rows, not negative."""
    cosines: Floats = np.maximum(1.0 - squared_distances / 2.0, 0.0).astype(np.float32)
    return cosines


def _weights(neighbours: Indices, cosines: Floats, size: int) -> sparse.csr_matrix:
    """Weights (n, size) of the edges from n rows to their neighbours, zero elsewhere."""
    count, k = neighbours.shape
    weights = cosines.astype(np.float64).ravel() ** _SHARPNESS
    starts = np.arange(count + 1) * k
    return sparse.csr_matrix((weights, neighbours.ravel(), starts), shape=(count, size))
