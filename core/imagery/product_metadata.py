"""What the metadata and the names of Sentinel-2 products say.

The main metadata file of a product (``MTD_MSIL2A.xml``, of old products ``S2A_OPER_MTD_SAFL1C_....xml``) lists its
granules with their images, and how DN become reflectance. Folders of single bands have nothing of the kind; there the
names, and files that AWS or a STAC catalogue put beside the bands, are searched for the same facts.

Sources: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issues 13 (old names, ``IMAGE_ID``) and 14
(compact names, ``IMAGE_FILE``, offsets); STAC extensions ``s2`` and ``earthsearch``.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..errors import ImageryError
from .sentinel2 import BANDS, SENTINEL2_NODATA

Baseline = tuple[int, int]

BASELINE_4_FROM = "20220125"
"""The day since which products are made with baseline 04.00 or later."""

MAIN_METADATA = re.compile(r"(?:MTD_MSI|S2[A-D]_(?:OPER|USER)_MTD_SAF)(L1C|L2A)\w*\.xml")
"""The name of a product's main metadata file, and its level."""

PRODUCT_NAME = re.compile(r"S2[A-D]_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d\d)(\d\d)_R\d{3}_(T\d\d[A-Z]{3})")
_FULL_NAME = re.compile(rf"{PRODUCT_NAME.pattern}_\d{{8}}T\d{{6}}")
_GRANULE_NAME = re.compile(r"S2[A-D]_\w{4}_MSI_(L1C|L2A)_TL_\w+?_(T\d\d[A-Z]{3})_N(\d\d)\.(\d\d)")
_TILE = re.compile(r"(?<![A-Z0-9])T?(\d\d[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![A-Z0-9])")
_DATE = re.compile(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?:T(\d{6}))?(?!\d)")
_LEVEL = re.compile(r"(?<![A-Z0-9])(?:MSI)?(L1C|L2A)(?![A-Z0-9])")


@dataclass(frozen=True)
class Granule:
    """One tile of a product: the name of its ``folder`` and its ``images``, as file names without extension."""

    folder: str
    tile: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """The main metadata file: ``scale`` is the reflectance of one DN, ``offsets`` in DN by band, empty before 04.00."""

    level: str
    baseline: Baseline | tuple[()]
    sensed: str
    granules: tuple[Granule, ...]
    scale: float
    offsets: dict[str, float]
    nodata: float


@dataclass(frozen=True)
class Facts:
    """What names tell; empty what they do not. ``offset_applied``: somebody says that DN have no offset any more."""

    level: str = ""
    baseline: Baseline | tuple[()] = ()
    tile: str = ""
    sensed: str = ""
    offset_applied: bool = False

    def else_from(self, other: Facts) -> Facts:
        """These facts, and those of another source where there is none."""
        return Facts(
            self.level or other.level,
            self.baseline or other.baseline,
            self.tile or other.tile,
            self.sensed or other.sensed,
            self.offset_applied or other.offset_applied,
        )


def read_metadata(content: bytes, name: str) -> Metadata:
    """Read a main metadata file of level 1C or 2A, named ``name``.

    Raises:
        ImageryError: it is damaged, or lists no image or no quantification value.
    """
    try:
        root = ET.fromstring(content)  # noqa: S314 - expat limits the growth of entities, and opens nothing external
        granules = tuple(_granule(element) for tag in ("Granule", "Granules") for element in root.iter(tag))
        found = MAIN_METADATA.fullmatch(name)
        level = found[1] if found else ""
        baseline = [int(part) for part in _text(root, "PROCESSING_BASELINE", default="").split(".") if part]
        return Metadata(
            level=level,
            baseline=(baseline[0], baseline[1]) if len(baseline) == 2 else (),
            sensed=re.sub(r"[-:]|\.\d+Z?$|Z$", "", _text(root, "PRODUCT_START_TIME", default="")),
            granules=tuple(granule for granule in granules if granule.images),
            scale=1.0 / float(_text(root, *_quantification(level))),
            offsets=_offsets(root),
            nodata=_nodata(root),
        )
    except (ET.ParseError, KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ImageryError(
            f"The metadata file {name} is damaged or incomplete.",
            hint="Copy or download the product again.",
            details=str(error),
        ) from error


def _granule(element: ET.Element) -> Granule:
    identifier = element.get("granuleIdentifier", "")
    tags = ("IMAGE_FILE", "IMAGE_ID", "IMAGE_FILE_2A", "IMAGE_ID_2A")
    paths = [PurePosixPath((image.text or "").strip()) for tag in tags for image in element.iter(tag)]
    compact = bool(paths) and len(paths[0].parts) > 2
    tile = _TILE.search(identifier.replace("_", " "))
    return Granule(
        folder=paths[0].parts[1] if compact else identifier,
        tile=f"T{tile[1]}" if tile else "",
        images=tuple(path.name for path in paths if path.name),
    )


def _quantification(level: str) -> tuple[str, ...]:
    if level == "L1C":
        return ("QUANTIFICATION_VALUE",)
    return ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")


def _text(root: ET.Element, *tags: str, default: str | None = None) -> str:
    """The text of the first element of any of these tags."""
    for tag in tags:
        for element in root.iter(tag):
            return (element.text or "").strip()
    if default is None:
        raise KeyError(f"no {' or '.join(tags)}")
    return default


def _offsets(root: ET.Element) -> dict[str, float]:
    elements = (element for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET") for element in root.iter(tag))
    return {BANDS[int(element.attrib["band_id"])]: float(element.text or "") for element in elements}


def _nodata(root: ET.Element) -> float:
    for special in root.iter("Special_Values"):
        if _text(special, "SPECIAL_VALUE_TEXT", default="").upper() == "NODATA":
            return float(_text(special, "SPECIAL_VALUE_INDEX"))
    return SENTINEL2_NODATA


def facts_of_name(name: str) -> Facts:
    """What the name of a product, a granule or a single image says: ``T33TUL_20230615T100031_B02_10m.jp2``."""
    product = facts_of_product_name(name)
    if product != Facts():
        return product
    spaced = name.replace("_", " ")
    level, tile, date = _LEVEL.search(spaced), _TILE.search(spaced), _DATE.search(spaced)
    sensed = "".join(date.groups()[:3]) + (f"T{date[4]}" if date[4] else "") if date else ""
    return Facts(level[1] if level else "", (), f"T{tile[1]}" if tile else "", sensed)


def facts_of_product_name(text: str) -> Facts:
    """What the full name of a product or of a granule says, wherever it stands in a text."""
    product = PRODUCT_NAME.search(text)
    if product:
        level, sensed, major, minor, tile = product.groups()
        return Facts(level, (int(major), int(minor)), tile, sensed)
    granule = _GRANULE_NAME.search(text)
    if granule:
        level, tile, major, minor = granule.groups()
        return Facts(level, (int(major), int(minor)), tile)
    return Facts()


def full_name_in(text: str) -> str:
    """The name that ESA gave a product, which no other has, wherever it stands in a text; empty if it does not."""
    found = _FULL_NAME.search(text)
    return found[0] if found else ""


def facts_of_sidecar(content: bytes) -> Facts:
    """What a text file beside the images says: a STAC item, ``tileInfo.json`` of AWS, ``MTD_TL.xml``."""
    text = content.decode(errors="replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        return facts_of_product_name(text)
    properties = parsed.get("properties") if isinstance(parsed, dict) else None
    if not isinstance(properties, dict):
        return facts_of_product_name(text)
    return _facts_of_item(properties).else_from(facts_of_product_name(text))


def _facts_of_item(properties: dict[str, object]) -> Facts:
    """What a STAC item says; a catalogue's own keys differ in their prefix."""
    told = {key.rpartition(":")[2]: value for key, value in properties.items()}
    baseline = re.fullmatch(r"(\d\d)\.(\d\d)", str(told.get("processing_baseline", "")))
    return Facts(
        baseline=(int(baseline[1]), int(baseline[2])) if baseline else (),
        sensed=facts_of_name(str(told.get("datetime", ""))[:10]).sensed,
        offset_applied=told.get("boa_offset_applied") is True,
    )
