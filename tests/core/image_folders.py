"""Small real folders of labelled images, and what was said about them."""

import zipfile

import numpy as np
import rasterio
from PIL import Image

from quadrat.core.monitor import Monitor

MS_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
MULTI = "filename,trees,water,roads\n0.png,1,0,0\n1.png,1,1,0\n2.png,0,0,0\n3.png,0,1,0\n"


def save_picture(path, seed, level=60):
    """Noise of its own for each seed, about as bright as ``level``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(level - 9, level + 9, (16, 16, 3))
    Image.fromarray(levels.astype(np.uint8)).save(path)


def save_tiff(path, values, dtype="uint16", descriptions=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=dtype) as target:
        target.write(values.astype(dtype))
        if descriptions:
            target.descriptions = descriptions


def make_folder(folder, classes=("forest", "town", "water"), each=3, start=0):
    for number, name in enumerate(classes):
        for index in range(each):
            save_picture(folder / name / f"{name}_{start + index}.png", 1000 * start + 10 * number + index, 60 + number)
    return folder


def make_table(folder, table=MULTI, start=0):
    for index in range(4):
        save_picture(folder / "images" / f"{index}.png", start + index)
    (folder / "labels.csv").write_text(table)
    return folder


def pack(folder):
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return packed


def heard():
    """A monitor, and the remarks that it hears."""
    remarks = []
    return Monitor(remark=lambda level, text: remarks.append(text)), remarks
