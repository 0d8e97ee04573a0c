"""Everything that a user can name becomes frames; what is bad becomes an error among them."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from ferkit.errors import DataError, InputError, PictureError
from ferkit.labels import FER2013
from ferkit.live.capture import Capture
from ferkit.records import Frame
from ferkit.sources import frames, load, pictures, sample_video
from ferkit.sources.walk import files_under


@pytest.fixture
def tree(tmp_path):
    for name in ("b/two.jpg", "a/one.png", "a/deep/three.bmp", ".hidden/no.png", "a/.no.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("text")
    return tmp_path


def names(found, root):
    return [str(frame.source).removeprefix(f"{root}/") for frame in found]


def test_folders_are_searched_in_order(tree):
    assert names(pictures(tree), tree) == ["a/one.png", "a/deep/three.bmp", "b/two.jpg"]


def test_globs_files_arrays_and_bytes(tree):
    found = list(pictures([str(tree / "*" / "*.*g"), tree / "b" / "two.jpg", (tree / "a" / "one.png").read_bytes()]))
    assert names(found, tree) == ["a/one.png", "b/two.jpg", "b/two.jpg", "bytes"]
    (frame,) = pictures(np.zeros((3, 4), np.uint8))
    assert frame.image.shape == (3, 4)
    frame = Frame(np.zeros((2, 2), np.uint8), "mine")
    assert next(pictures([frame])) is frame
    assert names(pictures(str(tree / "*")), tree) == ["a/one.png", "a/deep/three.bmp", "b/two.jpg"]


def test_one_picture_of_any_type_needs_no_list(tree):
    path = tree / "a" / "one.png"
    frame = Frame(np.zeros((2, 2), np.uint8), "mine")
    assert list(pictures(frame)) == [frame]
    data = path.read_bytes()
    with Image.open(path) as image, path.open("rb") as file:
        one_by_one = [
            next(pictures(item)) for item in (bytearray(data), memoryview(data), io.BytesIO(data), image, file)
        ]
        file.seek(0)
        together = list(pictures([bytearray(data), memoryview(data), io.BytesIO(data), image, file]))
    expected = ["bytes", "bytes", "picture", str(path), str(path)]
    assert [frame.source for frame in one_by_one] == [frame.source for frame in together] == expected
    assert {frame.image.shape for frame in together} == {(6, 8, 3)}


def test_sample_is_drawn_where_nothing_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = list(pictures("sample"))
    assert [frame.source for frame in drawn] == [f"sample-{name}" for name in FER2013]
    assert {frame.image.shape for frame in drawn} == {(320, 320, 3)}
    (tmp_path / "sample").mkdir()
    Image.new("L", (5, 5)).save(tmp_path / "sample" / "one.png")
    assert [frame.source for frame in pictures("sample")] == ["sample/one.png"]


def test_a_name_with_magic_characters_is_a_file_first(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "[1].png")
    (frame,) = pictures(tmp_path / "[1].png")
    assert frame.image.shape == (4, 4)


def test_bad_pictures_are_yielded_and_the_rest_goes_on(tree):
    (tree / "a" / "broken.png").write_bytes(b"nothing")
    found = list(pictures([tree, tree / "gone.png", tree / "a" / "notes.txt", str(tree / "*.xyz")]))
    errors = [str(item) for item in found if isinstance(item, PictureError)]
    assert len(found) - len(errors) == 3
    assert [text for text in errors if "broken.png" in text]
    assert [text for text in errors if "gone.png" in text and "does not exist" in text]
    assert [text for text in errors if "notes.txt" in text]
    assert [text for text in errors if "matches nothing to read" in text]
    assert len(errors) == 4


def test_empty_folder_is_an_error(tmp_path):
    (error,) = pictures(tmp_path)
    assert "without pictures" in str(error)


def test_a_glob_passes_over_empty_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    (only,) = pictures(str(tmp_path / "*"))
    assert "matches nothing to read" in str(only)
    for name in ("a.png", "z.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    assert names(pictures(str(tmp_path / "*")), tmp_path) == ["a.png", "z.png"]


def test_videos_and_gifs(tmp_path):
    sample_video(tmp_path / "clip.avi", ["neutral"], frames_each=4, size=64)
    moving = [Image.new("L", (8, 8), v) for v in (0, 255)]
    moving[0].save(tmp_path / "moving.gif", save_all=True, append_images=moving[1:], duration=100)
    moving[0].save(tmp_path / "still.gif")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    (tmp_path / "broken.mp4").write_bytes(b"no")
    found = list(pictures(tmp_path))
    frames = [item for item in found if isinstance(item, Frame)]
    assert [(f.source.rpartition("/")[2], f.index) for f in frames] == [
        *[("clip.avi", i) for i in range(4)],
        ("moving.gif", 0),
        ("moving.gif", 1),
        ("still.gif", 0),
    ]
    assert frames[-1].time is None
    assert len(found) - len(frames) == 2
    assert len(list(pictures(tmp_path / "clip.avi", every=2))) == 2


def test_a_gif_of_a_huge_size_is_one_error(tree):
    (tree / "a" / "bomb.gif").write_bytes(b"GIF89a" + b"\xff" * 4 + b"\0\0\0,\0\0\0\0" + b"\xff" * 4 + b"\0\x02;")
    found = list(pictures(tree))
    (error,) = [item for item in found if isinstance(item, PictureError)]
    assert "bomb.gif" in str(error)
    assert "expected at most 50 million pixels" in str(error)
    assert len(found) == 4


def test_an_empty_name_is_not_the_current_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    (error,) = pictures("")
    assert "Got input=''" in str(error)
    assert len(list(pictures(["", "b"]))) == 2
    with pytest.raises(PictureError, match="Got video=''"):
        list(frames(""))
    with pytest.raises(DataError, match="Got path=''"):
        load("")
    with pytest.raises(InputError, match="Got source=''"):
        Capture("")


def test_standard_input(monkeypatch):
    data = io.BytesIO()
    Image.new("L", (5, 4)).save(data, "PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.getvalue())))
    (frame,) = pictures("-")
    assert (frame.source, frame.image.shape) == ("-", (4, 5))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    (error,) = pictures(["-"])
    assert "standard input" in str(error)


def test_camera_that_is_not_there_is_yielded(capfd):
    (error,) = pictures(["97"])
    assert "'97'" in str(error)


@pytest.mark.parametrize("inputs", [3.5, [None]])
def test_wrong_types(inputs):
    with pytest.raises(InputError, match="type"):
        list(pictures(inputs))


def test_it_is_lazy(tree):
    found = pictures([tree / "a" / "one.png", 3.5])
    assert next(found).image.shape == (6, 8, 3)


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "in" / "round").symlink_to(tmp_path)
    assert [path.name for path in files_under(tmp_path, [])] == ["a.txt"]


@pytest.fixture
def lock(monkeypatch):
    """Take the permission to list folders of one name, also from root."""
    scandir = os.scandir

    def refuse(path="."):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", lambda path=".": [entry.name for entry in refuse(path)])


def test_a_folder_without_permission_is_told(tree, lock):
    (tree / "b" / "locked").mkdir()
    for named in (tree, str(tree / "*")):
        *found, error = pictures(named)
        assert names(found, tree) == ["a/one.png", "a/deep/three.bmp", "b/two.jpg"]
        assert f"Got folder={str(tree / 'b' / 'locked')!r} (Permission denied)" in str(error)
    (error,) = pictures(tree / "b" / "locked")
    assert "Check its permissions" in str(error)
    data = load(tree)
    assert len(data) == 3
    assert [name for name, _ in data.skipped] == [os.path.join("b", "locked")]
    with pytest.raises(DataError, match="Check its permissions"):
        load(tree / "b" / "locked")
    with pytest.raises(PictureError, match="Check its permissions"), Capture(tree / "b" / "locked") as capture:
        list(capture)
