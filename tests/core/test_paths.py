"""Questions about files that cannot be answered."""

from quadrat.core.paths import exists, is_file, is_folder


def test_a_name_that_no_file_can_have_is_no_file(tmp_path):
    name = tmp_path / ("x" * 5000)
    assert (is_file(name), is_folder(name), exists(name)) == (False, False, False)


def test_what_is_there_is_told(tmp_path):
    file = tmp_path / "a"
    file.write_text("")
    assert (is_file(file), is_folder(tmp_path), exists(file), is_file(tmp_path)) == (True, True, True, False)
