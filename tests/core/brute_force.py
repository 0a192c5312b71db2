"""Selections as they are written in the papers: everything against everything, in float64, nothing clever.

Distances and gains are rounded to float32 before they are compared, as the kernels promise, so that ties are ties.
"""

import numpy as np


def squared(a, b):
    """All squared distances (n, m) by differences."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.stack([((a - row) ** 2).sum(axis=1) for row in b], axis=1).astype(np.float32)


def unit(rows):
    """Rows brought to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows.astype(np.float64) / np.where(lengths == 0, 1, lengths)


def outer(features, errors):
    """Gradient embeddings (n, F * C)."""
    return (features.astype(np.float64)[:, :, None] * errors.astype(np.float64)[:, None, :]).reshape(len(features), -1)


def farthest_points(points, candidates, references, count):
    """Rows and squared distances."""
    gaps = squared(points[candidates], points[references]).min(axis=1)
    picks, distances = [], []
    for _ in range(min(count, len(candidates))):
        leader = int(np.argmax(gaps))
        picks.append(candidates[leader])
        distances.append(gaps[leader])
        gaps = np.minimum(gaps, squared(points[candidates], points[candidates[[leader]]])[:, 0])
        gaps[np.isin(candidates, picks)] = -np.inf
    return np.array(picks), np.array(distances)


def d2_sampling(points, candidates, count, rng, references=None, first=None):
    """Rows and squared distances; each pick is the winner of a race in which all take part."""
    picks, distances = [], []
    if references is None:
        picks.append(candidates[int(rng.integers(len(candidates))) if first is None else first])
        distances.append(np.inf)
    known = picks if references is None else list(references)
    while len(picks) < min(count, len(candidates)):
        weights = squared(points[candidates], points[known]).min(axis=1)
        times = rng.standard_exponential(len(candidates))
        if not weights.any():
            break
        winner = int(np.argmax(weights / times))
        picks.append(candidates[winner])
        distances.append(weights[winner])
        known = [*known, candidates[winner]]
    return np.array(picks), np.array(distances, dtype=np.float32)


def coverage(kernel, labelled, candidates, anchors, weights, count):
    """Rows and gains, from a kernel matrix (N, N)."""
    covered = kernel[np.ix_(labelled, anchors)].max(axis=0, initial=0.0)
    picks, gains = [], []
    while len(picks) < min(count, len(candidates)):
        rises = np.clip(kernel[np.ix_(candidates, anchors)] - covered, 0.0, None)
        values = ((rises * weights).sum(axis=1) / len(anchors)).astype(np.float32)
        values[np.isin(candidates, picks)] = -1.0
        leader = int(np.argmax(values))
        if values[leader] <= 0.0:
            break
        picks.append(candidates[leader])
        gains.append(values[leader])
        covered = np.maximum(covered, kernel[candidates[leader], anchors])
    return np.array(picks, dtype=np.int64), np.array(gains, dtype=np.float32)
