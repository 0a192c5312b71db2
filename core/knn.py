"""What the nearest neighbours say: the usual measure of features that were learnt without labels (Wu et al. 2018)."""

from __future__ import annotations

import torch
from torch.nn import functional

NEIGHBOURS = 5
_TOGETHER = 512
_NEARER = 0.01
"""How much less the next neighbour's vote counts: so little that it only decides ties."""


def knn_votes(queries: torch.Tensor, references: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """The mean vote of the :data:`NEIGHBOURS` nearest references by cosine; ties go to the nearer.

    Args:
        queries: (Q, F).
        references: (R, F), R at least :data:`NEIGHBOURS`, on the same device.
        votes: (R, C), the share of each class in the label of each reference.

    Returns:
        (Q, C), from 0 to 1.
    """
    references = functional.normalize(references.float(), dim=1)
    weights = 1.0 - _NEARER * torch.arange(NEIGHBOURS, device=queries.device)
    found = []
    for part in torch.split(queries.float(), _TOGETHER):
        near = (functional.normalize(part, dim=1) @ references.T).topk(NEIGHBOURS, dim=1).indices
        found.append((votes[near] * weights[:, None]).sum(dim=1) / weights.sum())
    return torch.cat(found)
