"""Make the documentation's pictures of QGIS: in its usual theme all, in its dark theme those that show most.

python tests/desktop/screenshots.py DEMO_FOLDER PICTURES_FOLDER
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from desktop import DesktopError, run_in_desktop
from PIL import Image

THEMES = {"default": "qgis-{}", "Night Mapping": "qgis-{}-dark"}
PANEL_PX = 800


def main() -> int:
    """One desktop for each theme."""
    demo, pictures = (Path(argument).resolve() for argument in sys.argv[1:3])
    for theme, name in THEMES.items():
        with tempfile.TemporaryDirectory(prefix="quadrat-pictures-") as folder:
            copy, out = Path(folder) / "demo", Path(folder) / "out"
            shutil.copytree(demo, copy)
            try:
                run_in_desktop("pictures", {"demo": str(copy)}, out=out, theme=theme, timeout_s=900)
            except DesktopError as error:
                print(error, file=sys.stderr)
                return 1
            for picture in sorted(out.glob("*.png")):
                _keep(picture, pictures / name.format(picture.stem))
    return 0


def _keep(source: Path, target: Path) -> None:
    """A picture with imagery as JPEG, a fifth of the size; dialogs and panels as they are, with sharp letters."""
    with Image.open(source) as image:
        if image.width > PANEL_PX:
            target = target.with_suffix(".jpg")
            image.convert("RGB").save(target, quality=90, subsampling=0, optimize=True)
        else:
            target = target.with_suffix(".png")
            image.convert("RGB").save(target, optimize=True)
    print(target)


if __name__ == "__main__":
    sys.exit(main())
