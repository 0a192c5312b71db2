"""What a training leaves on disk so that it can go on: all numbers, and which training it is.

The file is written whole under another name and then renamed: a kill leaves the last whole one. It is read with
``weights_only``, so a checkpoint from elsewhere cannot run code.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import EncoderError, UsageError


@dataclass(frozen=True)
class Checkpoint:
    """A file, and the facts about the training it may belong to (JSON values, by name)."""

    path: Path
    identity: Mapping[str, Any]

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """What was saved last; None if there is nothing.

        Raises:
            EncoderError: the file is damaged.
            UsageError: it is of another training; the details say what is different.
        """
        if not self.path.exists():
            return None
        try:
            saved = torch.load(self.path, map_location=device, weights_only=True)
            then = json.loads(saved["identity"])
        except Exception as error:  # the readers of zip, pickle and JSON share no other base class
            raise EncoderError(
                f"The checkpoint {self.path} cannot be read, so the training cannot go on.",
                hint="Start anew (--fresh), or put back a copy of the file.",
                details=type(error).__name__,
            ) from error
        now = json.loads(json.dumps(self.identity))
        other = [key for key in sorted({*now, *then}) if now.get(key) != then.get(key)]
        if other:
            raise UsageError(
                f"{self.path.name} belongs to another training than the one asked for.",
                hint="Give the same tiles and options as then to go on with it, or start anew (--fresh).",
                details="\n".join(f"{key}: {_short(then.get(key))} then, {_short(now.get(key))} now" for key in other),
            )
        return dict(saved)

    def save(self, values: Mapping[str, Any]) -> None:
        """Replace what is there.

        Raises:
            EncoderError: there is no room, or no permission.
        """
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({**values, "identity": json.dumps(self.identity)}, partial)
            partial.replace(self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise EncoderError(
                f"The state of the training cannot be written to {self.path}.",
                hint="Free some space or check the folder's rights, then run the same command again: it goes on from "
                "what was saved last.",
                details=str(error).splitlines()[0],
            ) from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
