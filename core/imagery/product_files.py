"""The files of a product by their names within it, whether it is a folder or a zip that is read without unpacking."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ImageryError

_SMALL_BYTES = 1 << 22


@dataclass(frozen=True)
class ProductFiles:
    """``names`` of files, with ``/``, below ``inner`` (empty, or ends with ``/``) of ``root``, a folder or a zip."""

    root: Path
    names: tuple[str, ...]
    zipped: bool = False
    inner: str = ""

    @property
    def title(self) -> str:
        """The name of the folder that holds the files, or of the zip."""
        return PurePosixPath(self.inner).name or self.root.absolute().name

    def below(self, folder: str) -> ProductFiles:
        """The files in a folder, by their names within it; ``.`` is the folder itself."""
        if folder == ".":
            return self
        start = f"{folder}/"
        names = tuple(name.removeprefix(start) for name in self.names if name.startswith(start))
        return ProductFiles(self.root, names, self.zipped, self.inner + start)

    def source(self, name: str) -> str:
        """What GDAL opens; within braces, a zip may have any extension."""
        if self.zipped:
            return f"/vsizip/{{{self.root.absolute()}}}/{self.inner}{name}"
        return str(self.on_disk(name).absolute())

    def on_disk(self, name: str) -> Path:
        """The file, or the zip that holds it."""
        return self.root if self.zipped else self.root / self.inner / name

    def is_small(self, name: str) -> bool:
        """Whether a file is a text that may be read at once, by its size."""
        try:
            if not self.zipped:
                return self.on_disk(name).stat().st_size <= _SMALL_BYTES
            with zipfile.ZipFile(self.root) as archive:
                return archive.getinfo(self.inner + name).file_size <= _SMALL_BYTES
        except OSError:
            return False

    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            ImageryError: it cannot be read.
        """
        try:
            if not self.zipped:
                return self.on_disk(name).read_bytes()
            with zipfile.ZipFile(self.root) as archive:
                return archive.read(self.inner + name)
        # A RuntimeError means that the file is encrypted.
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise ImageryError(
                f"{name} of {self.root.name} cannot be read.",
                hint="Copy or download the product again, and see that nothing but its files is in it.",
                details=str(error),
            ) from error


def files_in_folder(folder: Path, *, depth: int, only: Collection[str] | None = None) -> ProductFiles:
    """The files of a folder, and of folders in it down to ``depth``, of the names in ``only`` if that is given.

    Raises:
        ImageryError: a folder cannot be listed.
    """
    names: list[str] = []
    for directory, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(directory).relative_to(folder)
        deepest = len(here.parts) == depth
        folders[:] = [] if deepest else sorted(name for name in folders if only is None or name in only)
        names += [(here / name).as_posix() for name in sorted(files)]
    return ProductFiles(folder, _visible(names))


def files_in_zip(path: Path) -> ProductFiles:
    """The files of a zip.

    Raises:
        ImageryError: it is broken or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(member.filename for member in archive.infolist() if not member.is_dir())
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageryError(
            f"{path.name} is no zip that can be read: it is broken, or not complete.",
            hint="Download or copy it again.",
            details=str(error),
        ) from error
    return ProductFiles(path, _visible(names), zipped=True)


def _refuse(error: OSError) -> None:
    raise ImageryError(
        f"The folder {error.filename} cannot be read: {error.strerror}.",
        hint="Check the disk and the folder's permissions.",
    ) from error


def _visible(names: Collection[str]) -> tuple[str, ...]:
    """Without what macOS leaves beside files: ``._B02.jp2`` looks like a band and is none."""
    return tuple(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))
