"""What is known about a raster that may be tiled: the analyst's choice, and what the engine said about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...core.errors import QuadratError
from ..requests import RasterChoice

NAME_THE_BANDS = "Press Bands… and say which is which."
LOOK_AGAIN = "Untick it and tick it again to look at it once more."
DEGREES = (
    "Its pixels are degrees, so tiles are not square on the ground and may look squeezed. It works, but better "
    "reproject it to UTM first: Raster, Projections, Warp (Reproject)…"
)


class Question(NamedTuple):
    """What the engine is asked about a raster, and which engine; the same question has the same answer."""

    choice: RasterChoice
    tile_size_px: int
    interpreter: Path | None

    def params(self) -> dict[str, Any]:
        """The parameters of the protocol's ``inspect``; what the analyst left open is left out."""
        choice = self.choice
        said = {"bands": choice.bands, "scale": choice.scale, "offset": choice.offset, "nodata": choice.nodata}
        given = {name: value for name, value in said.items() if value is not None}
        return {"raster": str(choice.path), "tile_size": self.tile_size_px, **given}


@dataclass
class Look:
    """``asked`` is the question on its way or answered; ``first`` what was found before anything was changed."""

    choice: RasterChoice
    ticked: bool = False
    asked: Question | None = None
    seen: dict[str, Any] | None = None
    first: dict[str, Any] | None = None
    error: QuadratError | None = None

    @property
    def problem(self) -> dict[str, Any] | None:
        """Why the raster cannot be tiled as it stands, as the engine says it."""
        if self.error is not None:
            return self.error.as_dict()
        return self.seen["problem"] if self.seen else None

    def state(self) -> str:
        """The raster in a line."""
        if self.problem is not None:
            return str(self.problem["message"])
        if self.seen is None:
            return "Looking at it" if self.ticked else "Tick it to use it"
        bands = [band["name"] for band in self.seen["bands"] if band["name"]]
        number = "1 band" if len(bands) == 1 else f"{len(bands)} bands"
        return f"{number}: {' '.join(bands)}; {self.seen['tiles']:,} tiles"

    def details(self) -> str:
        """The raster in some sentences: what is wrong and what to do, else how it is read."""
        problem, seen = self.problem, self.seen
        if problem is not None:
            if seen is None:
                return f"{problem['message']} {LOOK_AGAIN}"
            nameless = not any(band["name"] for band in seen["bands"])
            return f"{problem['message']} {NAME_THE_BANDS if nameless else problem['hint']}".strip()
        if seen is None:
            return ""
        no_data = "no number means no data" if seen["nodata"] is None else f"{seen['nodata']:g} means no data"
        number = f"(number {seen['offset']:+g})" if seen["offset"] else "number"
        lines = [
            f"{seen['width']:,} × {seen['height']:,} pixels, {seen['crs']}",
            _product_of(seen),
            f"Reflectance = {number} × {seen['scale']:g}; {no_data}",
            DEGREES if seen["geographic"] else "",
        ]
        return "\n".join(filter(None, lines))


def _product_of(seen: dict[str, Any]) -> str:
    """Which product it is, if it is one; a product that tells its clouds can be tiled without them."""
    level = seen.get("level")
    if not level:
        return ""
    clouds = "tells where clouds are" if seen.get("has_clouds") else "does not tell where clouds are"
    return f"Sentinel-2 product of level {level}; it {clouds}"
