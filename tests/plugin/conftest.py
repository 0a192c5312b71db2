"""A real QGIS for the plugin's tests: the repository is loaded as the package ``quadrat``, as QGIS itself does.

The engine runs in its own environment, found where a user's would be: ``.venv`` in the plugin folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PLUGINS = None


def pytest_configure(config: pytest.Config) -> None:
    """Give the repository the name that QGIS's plugin folder would have, whatever the clone is called."""
    import tempfile

    global _PLUGINS
    _PLUGINS = tempfile.TemporaryDirectory(prefix="quadrat-plugins-")
    (Path(_PLUGINS.name) / "quadrat").symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, _PLUGINS.name)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the name away again."""
    if _PLUGINS is not None:
        sys.path.remove(_PLUGINS.name)
        _PLUGINS.cleanup()


@pytest.fixture(scope="session", autouse=True)
def _tidy_end(qgis_app: Any) -> Iterator[None]:
    """Collect what the tests left while QGIS is still there: what is collected after its end crashes."""
    import gc

    yield
    for _ in range(3):
        gc.collect()


@pytest.fixture(autouse=True)
def _fresh_settings(qgis_app: Any) -> Iterator[None]:
    """Each test starts as a user who never used Quadrat; QGIS's settings lie in ``.qgis-settings`` of the clone."""
    from qgis.core import QgsSettings

    QgsSettings().remove("quadrat")
    yield
    QgsSettings().remove("quadrat")


@pytest.fixture(scope="session")
def made_projects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Any]:
    """Projects by mode and budget, each made once in a session; never changed: tests get copies."""
    from .projects import ReadyProject, make_project

    made: dict[tuple[str, int], ReadyProject] = {}

    def get(mode: str, budget: int) -> ReadyProject:
        if (mode, budget) not in made:
            made[mode, budget] = make_project(tmp_path_factory.mktemp(mode) / "project", mode, budget=budget)
        return made[mode, budget]

    return get


@pytest.fixture
def ready_project(made_projects: Callable[[str, int], Any], tmp_path: Path) -> Callable[..., Any]:
    """``ready_project(mode="single", budget=8)``: a project of its own, ready to label; budget 0: not yet asked.

    6 x 8 tiles of a small raster, 12 of them validation. Returns a ``projects.ReadyProject``; its folder is not kind to
    programs.
    """
    from .projects import copy_project

    def make(mode: str = "single", budget: int = 8) -> Any:
        return copy_project(made_projects(mode, budget), tmp_path / f"{mode} {budget} é 'q'")

    return make


@pytest.fixture(scope="session")
def engine(qgis_app: Any) -> Iterator[Any]:
    """The real engine, started once; a test that kills its worker finds it started again."""
    from quadrat.plugin.engine.engine import Engine

    engine = Engine(ROOT)
    yield engine
    engine.close()


@pytest.fixture
def bench(engine: Any, qgis_iface: Any) -> Iterator[Any]:
    """Job, engine and workflow without the map's parts."""
    from .workbench import Workbench

    bench = Workbench(qgis_iface, engine)
    yield bench
    bench.close()


@pytest.fixture
def desk(ready_project: Callable[..., Any]) -> Iterator[Any]:
    """An analyst's desk with labelling on, in a project with one class a tile."""
    from .labeling_desk import sitting_at

    with sitting_at(ready_project("single")) as made:
        made.labelling.start()
        yield made


@pytest.fixture
def multi(ready_project: Callable[..., Any]) -> Iterator[Any]:
    """The same in a project with several classes a tile."""
    from .labeling_desk import sitting_at

    with sitting_at(ready_project("multi")) as made:
        made.labelling.start()
        yield made


@pytest.fixture
def large(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Any]:
    """The same in a project of 100 tiles whose round has 64."""
    from .labeling_desk import copy_of, large_project, sitting_at

    with sitting_at(copy_of(large_project(tmp_path_factory), tmp_path)) as made:
        made.labelling.start()
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name is as difficult as one can be."""
    made = tmp_path / "Bilder é 'q' \"z\""
    made.mkdir()
    return made


@pytest.fixture
def panel(engine: Any, qgis_new_project: None, folder: Path) -> Iterator[Any]:
    """The imagery panel of a new project; other tests have panels of their own."""
    from .imagery_desk import imagery_panel

    with imagery_panel(engine, folder) as made:
        yield made
