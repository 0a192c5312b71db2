"""What tells one dataset, or the vectors of one, from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fingerprint_of(facts: Any, *arrays: NDArray[Any]) -> str:
    """64 letters that change with the facts, which JSON can hold, and with the content, type or shape of an array."""
    digest = hashlib.sha256(json.dumps(facts).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
