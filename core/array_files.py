"""An array in a file, made piece by piece: a killed run goes on where it stopped, and half a file never looks whole.

While it is being made it is called ``*.partial.npy``, and a small JSON file beside it counts the finished pieces.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from .errors import ProjectError
from .project.vectors import PARTIAL


@dataclass(frozen=True)
class ArrayFile:
    """Where an array of half-precision rows lies, or will lie, and how the rows are called if there is no room."""

    file: Path
    what: str

    @property
    def partial(self) -> Path:
        """The file while it is being made."""
        return self.file.with_suffix(PARTIAL)

    @property
    def progress(self) -> Path:
        """How far it is."""
        return self.file.with_suffix(".partial.json")

    def resume(self) -> tuple[int, int, np.memmap | None]:
        """Finished pieces, rows in them, and the array to go on with; or a fresh start, with none."""
        try:
            state = json.loads(self.progress.read_text())
            return int(state["chunks"]), int(state["tiles"]), open_memmap(self.partial, mode="r+")
        except (OSError, ValueError, KeyError):
            return 0, 0, None

    def allocate(self, shape: tuple[int, ...]) -> np.memmap:
        """An array of zeros of a shape, float16, written out rather than sparse.

        A memory-mapped write into a hole of a full disk kills the process; writing the zeros first gives an error.

        Raises:
            ProjectError: the disk is full, or cannot be written to.
        """
        size = math.prod(shape) * 2
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            array = open_memmap(self.partial, mode="w+", dtype=np.float16, shape=shape)
            offset = array.offset
            del array
            with self.partial.open("r+b") as file:
                file.seek(offset)
                left = size
                block = bytes(1 << 20)
                while left > 0:
                    left -= file.write(block[: min(left, len(block))])
                file.flush()
                os.fsync(file.fileno())
            return open_memmap(self.partial, mode="r+")
        except OSError as error:
            with contextlib.suppress(OSError):
                self.partial.unlink()
            raise ProjectError(
                f"There is no room for the {self.what} ({size / 2**20:.0f} MiB) in {self.partial.parent}.",
                hint="Free some space and run the same command again.",
                details=str(error),
            ) from error

    def save(self, array: np.memmap, pieces: int, rows: int) -> None:
        """Put finished pieces on the disk, and only then count them.

        Raises:
            ProjectError: the disk is away or full.
        """
        try:
            array.flush()
            temporary = self.progress.with_suffix(".tmp")
            temporary.write_text(json.dumps({"chunks": pieces, "tiles": rows}))
            temporary.replace(self.progress)
        except OSError as error:
            raise ProjectError(
                f"{self.partial.parent} cannot be written to any more.",
                hint="Free some space, or connect the drive again, and run the same command again: it goes on from "
                "here.",
                details=str(error),
            ) from error

    def finish(self) -> None:
        """Give the array, whose last piece was saved and which nobody holds any more, its name."""
        self.partial.replace(self.file)
        self.progress.unlink()
