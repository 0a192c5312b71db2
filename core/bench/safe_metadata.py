"""The names and the metadata files of a Sentinel-2 product, as far as a reader of pixels looks at them.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issue 14.9, sections 3 and 4; the wavelengths
are those of Sentinel-2A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_ORBIT = 122
_ABSOLUTE_ORBIT = 41676
_PRODUCED = "20230615T160000"
_PSD = "https://psd-14.sentinel2.eo.esa.int/PSD"

# In the order of the band identifiers 0 to 12: physical band, metres, central wavelength in nm.
_SPECTRAL = (
    *(("B1", 60, 442.7), ("B2", 10, 492.7), ("B3", 10, 559.8), ("B4", 10, 664.6), ("B5", 20, 704.1)),
    *(("B6", 20, 740.5), ("B7", 20, 782.8), ("B8", 10, 832.8), ("B8A", 20, 864.7), ("B9", 60, 945.1)),
    *(("B10", 60, 1373.5), ("B11", 20, 1613.7), ("B12", 20, 2202.4)),
)


@dataclass(frozen=True)
class SafeNames:
    """The compact names of a product of Sentinel-2A: ``level`` L1C or L2A, ``baseline`` 05.09, ``tile`` with its T."""

    level: str
    baseline: str
    tile: str
    date: str

    @property
    def has_offset(self) -> bool:
        """Whether 1,000 is added to every DN, as since baseline 04.00."""
        return self.baseline >= "04.00"

    @property
    def product(self) -> str:
        """Name of the ``.SAFE`` folder."""
        number = self.baseline.replace(".", "")
        return f"S2A_MSI{self.level}_{self.date}_N{number}_R{_ORBIT:03d}_{self.tile}_{_PRODUCED}.SAFE"

    @property
    def granule_folder(self) -> str:
        """Path of the granule within the product."""
        return f"GRANULE/{self.level}_{self.tile}_A{_ABSOLUTE_ORBIT:06d}_{self.date}"

    @property
    def granule(self) -> str:
        """The granule's identifier."""
        head = f"S2A_OPER_MSI_{self.level}_TL_2APS_{_PRODUCED}"
        return f"{head}_A{_ABSOLUTE_ORBIT:06d}_{self.tile}_N{self.baseline}"

    @property
    def datastrip(self) -> str:
        """The data strip's identifier."""
        return f"S2A_OPER_MSI_{self.level}_DS_2APS_{_PRODUCED}_S{self.date}_N{self.baseline}"

    def image(self, band: str, metres: int = 0) -> str:
        """Path of an image within the product, without its extension; ``metres`` is in the names of L2A only."""
        stem = f"{self.tile}_{self.date}_{band}"
        folder, end = (f"R{metres}m/", f"_{metres}m") if metres else ("", "")
        return f"{self.granule_folder}/IMG_DATA/{folder}{stem}{end}"


def product_xml(names: SafeNames, images: Sequence[str]) -> str:
    """``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``; ``images`` are the paths that it lists, without extension."""
    level = names.level.removeprefix("L")
    start = _iso(names.date)
    files = "\n".join(f"            <IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="{_PSD}/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{names.product}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{names.baseline}</PROCESSING_BASELINE>
      <GENERATION_TIME>{_iso(_PRODUCED)}</GENERATION_TIME>
      <Datatake datatakeIdentifier="GS2A_{names.date}_{_ABSOLUTE_ORBIT:06d}_N{names.baseline}">
        <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
        <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
        <DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>{_ORBIT}</SENSING_ORBIT_NUMBER>
        <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
      </Datatake>
      <Query_Options completeSingleTile="true">
        <PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>
      </Query_Options>
      <Product_Organisation>
        <Granule_List>
          <Granule datastripIdentifier="{names.datastrip}" granuleIdentifier="{names.granule}" imageFormat="JPEG2000">
{files}
          </Granule>
        </Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Image_Display_Order>
        <RED_CHANNEL>3</RED_CHANNEL>
        <GREEN_CHANNEL>2</GREEN_CHANNEL>
        <BLUE_CHANNEL>1</BLUE_CHANNEL>
      </Image_Display_Order>
{_radiometry(names)}
      <Spectral_Information_List>
{_spectral()}
      </Spectral_Information_List>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level}_User_Product>
"""


def tile_xml(names: SafeNames, crs: str, origin: tuple[float, float], size_px: int) -> str:
    """``MTD_TL.xml`` of a granule of ``size_px`` pixels of 10 m a side."""
    level = names.level.removeprefix("L")
    grids = "\n".join(
        f"""      <Size resolution="{metres}">
        <NROWS>{size_px * 10 // metres}</NROWS>
        <NCOLS>{size_px * 10 // metres}</NCOLS>
      </Size>
      <Geoposition resolution="{metres}">
        <ULX>{origin[0]:.0f}</ULX>
        <ULY>{origin[1]:.0f}</ULY>
        <XDIM>{metres}</XDIM>
        <YDIM>-{metres}</YDIM>
      </Geoposition>"""
        for metres in (10, 20, 60)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="{_PSD}/S2_PDI_Level-{level}_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">{names.granule}</TILE_ID>
    <DATASTRIP_ID metadataLevel="Standard">{names.datastrip}</DATASTRIP_ID>
    <SENSING_TIME metadataLevel="Standard">{_iso(names.date)}</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone {names.tile[1:3]}N</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>
{grids}
    </Tile_Geocoding>
  </n1:Geometric_Info>
</n1:Level-{level}_Tile_ID>
"""


def _radiometry(names: SafeNames) -> str:
    """How a DN becomes reflectance, in the elements of each level."""
    if names.level == "L1C":
        factors = '      <QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        group, element = "Radiometric_Offset_List", "RADIO_ADD_OFFSET"
    else:
        factors = """      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
        <WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>"""
        group, element = "BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET"
    if not names.has_offset:
        return factors
    offsets = "\n".join(f'        <{element} band_id="{number}">-1000</{element}>' for number in range(len(_SPECTRAL)))
    return f"{factors}\n      <{group}>\n{offsets}\n      </{group}>"


def _spectral() -> str:
    return "\n".join(
        f"""        <Spectral_Information bandId="{number}" physicalBand="{band}">
          <RESOLUTION>{metres}</RESOLUTION>
          <Wavelength>
            <CENTRAL unit="nm">{central}</CENTRAL>
          </Wavelength>
        </Spectral_Information>"""
        for number, (band, metres, central) in enumerate(_SPECTRAL)
    )


def _iso(compact: str) -> str:
    """``20230615T100031`` as the metadata write times."""
    moment = datetime.strptime(compact, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
