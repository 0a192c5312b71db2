"""Make the pictures of the documentation from the demo: ``make pictures``."""

import shutil
import sys
from pathlib import Path

from quadrat.core.pictures import draw_project
from quadrat.core.project.store import Project

IMAGES = Path(__file__).parent / "images"


def main(demo: Path) -> None:
    """Draw the demo's map as JPEG and copy its learning curve."""
    IMAGES.mkdir(exist_ok=True)
    with Project.open(demo / "demo.gpkg", writable=False) as project:
        draw_project(project, [IMAGES / "demo-map.jpg"])
    shutil.copy(demo / "comparison" / "learning_curve.png", IMAGES / "learning-curve.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
