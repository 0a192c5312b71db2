"""Creating, opening and reading projects; what is refused, and with which words."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import quadrat
from quadrat.core.errors import ProjectError, UsageError
from quadrat.core.project.answers import Answer, current_answers, record_answers
from quadrat.core.project.database import file_system_of
from quadrat.core.project.migrations import SCHEMA_VERSION
from quadrat.core.project.store import Project

from .project_factory import CLASSES, as_plain_user, make_project, raster_record, tile_frame, write_tiles

ROOT = Path(quadrat.__file__).parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.gpkg"


@pytest.fixture
def public_folder():
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_new_project_has_its_classes_and_settings(path):
    with Project.create(path, CLASSES, "multi", tile_size=32) as project:
        assert project.mode == "multi"
        assert project.tile_size == 32
        assert [c.name for c in project.classes()] == ["Water", "Forest", "Town"]
        assert project.tiles() == []
        assert project.rasters() == []
        assert not project.has_tiles()
        assert project.setting("colour of the sky") is None
        project.set_setting("encoder", "statistics")
        project.set_setting("encoder", "resnet18")
    with Project.open(path, writable=False) as project:
        assert project.setting("encoder") == "resnet18"


def test_a_closed_project_is_a_single_file(path):
    with make_project(path) as project:
        record_answers(project, [Answer(1, "skip")], annotator="a", source="map")
    assert sorted(file.name for file in path.parent.iterdir()) == ["p.gpkg"]
    project.close()


def test_answers_are_written_ahead_so_that_readers_are_not_in_the_way(path):
    with make_project(path) as project, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        assert project.read("PRAGMA journal_mode") == [("wal",)]
        assert project.read("PRAGMA synchronous") == [(2,)]
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM labels").fetchone() == (0,)
        record_answers(project, [Answer(1, "skip")], annotator="a", source="map")
        assert reader.execute("SELECT count(*) FROM labels").fetchone() == (0,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM labels").fetchone() == (1,)


@pytest.mark.parametrize("name", ["with space", "Übung é", 'it\'s "quoted"', "percent%20#hash?query", "🌍🛰️", "a.b"])
def test_paths_may_hold_anything(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with make_project(folder / f"{name}.gpkg") as project:
        record_answers(project, [Answer(1, "skip")], annotator="a", source="map")
    with Project.open(folder / f"{name}.gpkg") as project:
        assert current_answers(project)[1].kind == "skip"
        assert project.folder == folder / f"{name}.quadrat"
        assert project.folder.is_dir()


def test_the_folder_beside_the_project_is_not_made_for_reading(path):
    Project.create(path, CLASSES, "single").close()
    with Project.open(path, writable=False) as project:
        assert not project.folder.exists()
    with Project.open(path) as project:
        path.with_suffix(".quadrat").write_text("in the way")
        with pytest.raises(ProjectError, match=r"folder p\.quadrat"):
            _ = project.folder


def test_creating_never_overwrites(path):
    path.write_bytes(b"precious")
    with pytest.raises(ProjectError, match="exists already"):
        Project.create(path, CLASSES, "single")
    assert path.read_bytes() == b"precious"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "sentence"), [("p.tif", "not a name"), ("no/p.gpkg", "no folder"), ("folder.gpkg", "exists already")]
)
def test_creating_in_an_impossible_place_is_refused(tmp_path, name, sentence):
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(ProjectError, match=sentence):
        Project.create(tmp_path / name, CLASSES, "single")


@pytest.mark.parametrize(
    ("classes", "mode", "size"), [(CLASSES, "double", 64), (CLASSES, "single", 0), ([], "single", 64)]
)
def test_creating_with_senseless_choices_leaves_nothing_behind(path, classes, mode, size):
    with pytest.raises(UsageError):
        Project.create(path, classes, mode, tile_size=size)
    assert list(path.parent.iterdir()) == []


def make_other_geopackage(path):
    write_tiles_elsewhere = tile_frame()
    write_tiles_elsewhere.to_file(path, layer="fields", driver="GPKG")


def make_other_database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE quadrat (height, width)")


def make_damaged_project(path):
    Project.create(path, CLASSES, "single").close()
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "There is no project"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"II*\0 a picture"), "not a GeoPackage"),
        (make_other_database, "a SQLite database, but not a Quadrat project"),
        (make_other_geopackage, "a GeoPackage, but not a Quadrat project"),
        (make_damaged_project, "damaged"),
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_what_is_no_project_is_refused_in_its_own_words(path, make, sentence, writable):
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ProjectError, match=sentence) as caught:
        Project.open(path, writable=writable)
    assert caught.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before


def set_schema_version(path, version, needs="9.1"):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE quadrat SET value = ? WHERE \"key\" = 'schema_version'", (version,))
        connection.execute("UPDATE quadrat SET value = ? WHERE \"key\" = 'needs_quadrat'", (needs,))


def test_a_project_of_a_newer_schema_is_refused_with_the_version_to_install(path):
    Project.create(path, CLASSES, "single").close()
    set_schema_version(path, SCHEMA_VERSION + 1)
    with pytest.raises(ProjectError, match=r"needs Quadrat 9\.1 or later"):
        Project.open(path)
    assert [file.name for file in path.parent.iterdir()] == ["p.gpkg"]


def test_a_project_of_an_older_schema_is_not_upgraded_for_reading_only(path):
    Project.create(path, CLASSES, "single").close()
    set_schema_version(path, SCHEMA_VERSION - 1)
    with pytest.raises(ProjectError, match="older Quadrat"):
        Project.open(path, writable=False)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("read_only", ["file", "folder", "both"])
def test_a_read_only_project_opens_for_reading_only(public_folder, read_only):
    path = public_folder / "p.gpkg"
    make_project(path).close()
    path.chmod(0o444 if read_only != "folder" else 0o666)
    public_folder.chmod(0o555 if read_only != "file" else 0o777)
    with as_plain_user():
        with pytest.raises(ProjectError, match="read-only") as caught:
            Project.open(path)
        assert "copy the project" in caught.value.hint
        with Project.open(path, writable=False) as project:
            assert len(project.tiles()) == 6
            with pytest.raises(ProjectError, match="reading only"), project.transaction():
                pass
        with pytest.raises(ProjectError, match=r"read-only|exists already"):
            Project.create(public_folder / ("q.gpkg" if read_only != "file" else "p.gpkg"), CLASSES, "single")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_project_left_in_write_ahead_mode_opens_in_a_read_only_folder(public_folder):
    path = public_folder / "p.gpkg"
    make_project(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o444)
    public_folder.chmod(0o555)
    with as_plain_user(), Project.open(path, writable=False) as project:
        assert len(project.tiles()) == 6


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_an_unreadable_project_is_refused(public_folder):
    path = public_folder / "p.gpkg"
    make_project(path).close()
    path.chmod(0)
    with as_plain_user(), pytest.raises(ProjectError, match="cannot be read"):
        Project.open(path, writable=False)


def test_rasters_come_back_as_they_were_recorded(path):
    with Project.create(path, CLASSES, "single") as project:
        assert project.next_raster_id() == 1
        assert project.add_raster(raster_record(1, path.parent / "sub" / "B é.tif", nodata=0.0)) == 1
        (record,) = project.rasters()
        assert record.name == "B é"
        assert record.path_relative == "sub/B é.tif"
        assert record.added_at.endswith("Z")
        assert record.bands == (("B02", 1), ("B8A", 4))
        assert record.transform[2] == 500_000.0
        assert record.modified_ns == 1_700_000_000_123_456_789
        assert record.nodata == 0.0
        project.update_raster(1, path="/elsewhere/B.tif", bands=(("B03", 2),))
        assert project.rasters()[0].path == "/elsewhere/B.tif"
        assert project.rasters()[0].bands == (("B03", 2),)
        for bad in ({"colour": 1}, {"raster_id": 4}, {}):
            with pytest.raises(UsageError):
                project.update_raster(1, **bad)
        with pytest.raises(UsageError, match="no raster 7"):
            project.update_raster(7, path="x")


def test_a_raster_is_found_beside_a_project_that_moved_with_it(tmp_path):
    (tmp_path / "old").mkdir()
    raster = tmp_path / "old" / "scene.tif"
    raster.write_bytes(b"pixels")
    with make_project(tmp_path / "old" / "p.gpkg") as project:
        project.add_raster(raster_record(2, raster))
        assert project.find_raster(project.rasters()[1]) == raster
        assert project.find_raster(project.rasters()[0]) is None
    (tmp_path / "old").rename(tmp_path / "new")
    with Project.open(tmp_path / "new" / "p.gpkg") as project:
        assert project.find_raster(project.rasters()[1]) == tmp_path / "new" / "scene.tif"


def test_tiles_count_only_with_their_raster_and_by_role(path):
    with make_project(path) as project:
        write_tiles(path, tile_frame(raster_id=2))
        tiles = project.tiles()
        assert [tile.tile_id for tile in tiles] == [1, 2, 3, 4, 5, 6]
        assert tiles[5] == (6, 1, 1, 2, 1.0, "excluded")
        assert [tile.tile_id for tile in project.tiles(["validation", "excluded"])] == [5, 6]
        assert project.has_tiles()
        project.add_raster(raster_record(2))
        assert len(project.tiles()) == 12


def test_counts_tell_roles_answers_and_classes_apart(path):
    with make_project(path, "multi") as project:
        answers = [Answer(1, "classes", (1, 2)), Answer(2, "classes", (2,)), Answer(3, "none"), Answer(4, "skip")]
        record_answers(project, [*answers, Answer(5, "unsure")], annotator="a", source="map")
        assert project.counts() == {
            "pool": 4, "validation": 1, "excluded": 1, "labelled": 2, "none": 1, "skipped": 1, "unsure": 1,
            "classes": {1: 1, 2: 2, 3: 0},
        }  # fmt: skip


def test_a_transaction_that_raises_leaves_nothing(path):
    with make_project(path) as project:
        with pytest.raises(ZeroDivisionError), project.transaction() as connection:
            connection.execute("DELETE FROM classes WHERE 1 / 1").rowcount / 0
        assert len(project.classes()) == 3
        project.set_setting("works", "still")


def test_a_closed_project_says_so(path):
    project = Project.create(path, CLASSES, "single")
    project.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        project.classes()


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local\\040disk xfs rw 0 0
//nas/data /mnt/nas cifs rw 0 0
tmpfs /mnt/nas/ram tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/p.gpkg", "ext4"),
        ("/home/ann/p.gpkg", "nfs4"),
        ("/home/local disk/p.gpkg", "xfs"),
        ("/mnt/nas/p.gpkg", "cifs"),
        ("/mnt/nas/ram/p.gpkg", "tmpfs"),
        ("/mnt/nasty/p.gpkg", "ext4"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_the_file_system_is_that_of_the_deepest_mount(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind


def test_projects_need_only_the_standard_library_and_any_package_name():
    """QGIS's own Python imports these; -S leaves every installed package out."""
    modules = sorted(file.stem for file in (ROOT / "core" / "project").glob("[a-z]*.py"))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "\n".join(f"import core.project.{module}" for module in modules)
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_projects_are_written_in_the_syntax_of_python_3_9():
    import ast

    for file in (ROOT / "core" / "project").glob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
