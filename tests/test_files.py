"""Files that are there whole or not at all, and where ferkit keeps what it may compute again."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferkit.errors import DataError
from ferkit.files import can_write, default_folder, replacing, writable_folder, write_whole


def test_the_default_folder_follows_the_desktop_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "ferkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "ferkit"
    assert not default_folder().exists()


def test_a_user_without_a_home_has_a_folder_until_the_end():
    code = (
        "import os, pwd; from pathlib import Path; os.environ.pop('HOME'); os.environ.pop('XDG_CACHE_HOME', None)\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from ferkit.files import default_folder; assert default_folder().is_dir(); print(default_folder())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()


def test_where_the_default_folder_cannot_be_written_another_serves(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert writable_folder("nets") == tmp_path / "ferkit" / "nets"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = writable_folder("nets")
    assert folder.is_dir()
    assert folder == writable_folder("nets")
    assert tmp_path not in folder.parents


@pytest.mark.parametrize("sync", [False, True])
def test_a_new_file_takes_the_place_of_the_old_one(tmp_path, sync):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with replacing(path, sync) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_files_may_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert can_write(tmp_path / "new" / "folder" / "a")
    assert not can_write(tmp_path / "file" / "a")
    assert can_write(os.devnull)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert not can_write(tmp_path / "new" / "folder" / "a")
    assert not can_write(tmp_path / "file")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write():
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_leads_to_the_new_file(tmp_path):
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder/a", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to("folder/a")
    write_whole(link, "new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert list(file.parent.iterdir()) == [file]


def test_standard_output_and_pipes_are_written_to(tmp_path):
    code = "from ferkit.files import write_whole; write_whole('/dev/stdout', 'text')"
    links = os.path.islink("/dev/stdout")
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout == b"text"
    assert os.path.islink("/dev/stdout") == links
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        write_whole(tmp_path / "pipe", "text")
        assert read.result() == b"text"
    with pytest.raises(DataError, match="Is a directory"):
        write_whole(tmp_path, "text")


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_whole(tmp_path / "a", "text")
    assert not list(tmp_path.iterdir())


def test_others_may_read_what_the_user_lets_them(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_whole(tmp_path / ("x" * 250), "ä")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text(encoding="utf-8") == "ä"


def test_memory_that_looks_like_a_disk_keeps_the_old_file_too():
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        pytest.skip("no /dev/shm that can be written")
    path = shared / f"ferkit-test-{os.getpid()}"
    try:
        path.write_bytes(b"old")
        with replacing(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
    finally:
        path.unlink(missing_ok=True)


def test_text_in_no_encoding_is_written_as_its_escape(tmp_path):
    assert write_whole(tmp_path / "a.txt", "M\udcfcller").read_bytes() == b"M\\udcfcller"
