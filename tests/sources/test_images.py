"""Pictures of every form come out as 8 bits, upright; bad ones say what is wrong with them."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from ferkit.errors import InputError, PictureError
from ferkit.sources import images, read_image, to_grey


@pytest.fixture
def rgb():
    pixels = np.zeros((6, 9, 3), np.uint8)
    pixels[:, :3], pixels[:, 3:6], pixels[:, 6:] = (255, 0, 0), (0, 255, 0), (10, 20, 30)
    return pixels


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_rgb_and_grey_files_keep_their_pixels(tmp_path, rgb):
    assert np.array_equal(read_image(saved(tmp_path / "a.png", rgb)), rgb)
    assert np.array_equal(read_image(str(saved(tmp_path / "g.bmp", rgb[:, :, 1]))), rgb[:, :, 1])
    assert np.array_equal(read_image((tmp_path / "a.png").read_bytes()), rgb)


@pytest.mark.skipif("AVIF" not in images.FORMATS, reason="Pillow was built without AVIF")
def test_avif(tmp_path, rgb):
    large = rgb.repeat(8, 0).repeat(8, 1)
    read = read_image(saved(tmp_path / "a.avif", large, quality=95))
    assert np.abs(read.astype(int) - large).mean() < 12


@pytest.mark.parametrize("name", ["a.JFIF", "b.jpe", "c.heic", "d.avif"])
def test_pictures_of_browsers_and_phones_are_not_overlooked(name):
    assert images.is_picture_name(name)


def test_transparency_shows_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (255, 0, 0, 255)
    rgba[0, 1] = (0, 0, 0, 128)
    expected = [[[255, 0, 0], [127, 127, 127]], [[255] * 3, [255] * 3]]
    assert read_image(saved(tmp_path / "a.png", rgba)).tolist() == expected
    assert read_image(rgba).tolist() == expected
    la = Image.merge("LA", [Image.new("L", (2, 1), 40), Image.fromarray(np.array([[255, 0]], np.uint8))])
    la.save(tmp_path / "la.png")
    assert to_grey(read_image(tmp_path / "la.png")).tolist() == [[40, 255]]


def test_palette_and_one_bit(tmp_path, rgb):
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert np.abs(read_image(tmp_path / "p.png").astype(int) - rgb).max() <= 2
    Image.fromarray(rgb).quantize(8).save(tmp_path / "t.gif", transparency=0)
    assert read_image(tmp_path / "t.gif").shape == (6, 9, 3)
    Image.fromarray(rgb[:, :, 0] > 0).save(tmp_path / "one.png")
    assert set(np.unique(read_image(tmp_path / "one.png"))) == {0, 255}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_files_use_the_full_range(tmp_path, suffix):
    deep = np.array([[0, 257 * 100, 65535]], np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(deep).save(path)
    assert read_image(path).tolist() == [[0, 100, 255]]


def test_float_tiff(tmp_path):
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "f.tif")
    assert read_image(tmp_path / "f.tif").tolist() == [[0, 128, 255]]


def test_exif_rotation_is_applied(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "turned.png", rgb, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(rgb, -1))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 1]], bool), [[0, 255]]),
        (np.array([[0, 257, 65535]], np.uint16), [[0, 1, 255]]),
        (np.array([[0, 200]], np.uint16), [[0, 200]]),
        (np.array([[0, 200]], np.int64), [[0, 200]]),
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[0.0, 128.4, 255.0]], np.float32), [[0, 128, 255]]),
        (np.array([[[7]]], np.uint8), [[7]]),
    ],
)
def test_arrays(array, expected):
    pixels = read_image(array)
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == expected


def test_pil_images_and_open_files(tmp_path, rgb):
    path = saved(tmp_path / "a.png", rgb)
    with Image.open(path) as picture, path.open("rb") as file:
        for source in (Image.fromarray(rgb), picture, picture, file, io.BytesIO(path.read_bytes())):
            assert np.array_equal(read_image(source), rgb)
        with pytest.raises(PictureError, match="Got picture='file' with 0 bytes"):
            read_image(file)
    with pytest.raises(InputError, match="Open it in the mode 'rb'"):
        read_image(io.StringIO("text"))
    cut = io.BytesIO(path.read_bytes()[:60])
    with Image.open(cut) as picture, pytest.raises(PictureError, match="damaged or cut off"):
        read_image(picture)


def test_one_pixel(tmp_path):
    assert read_image(saved(tmp_path / "one.png", np.array([[7]], np.uint8))).tolist() == [[7]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), np.inf), "NaN or infinite"),
        (np.full((2, 2), -3.0), "values from -3"),
        (np.full((2, 2), 300), "values from 300 to 300"),
        (np.zeros((3, 5, 5)), r"shape \(3, 5, 5\)"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((0, 4), np.uint8), "4x0 pixels"),
        (np.array([["a"]]), "dtype"),
    ],
)
def test_bad_arrays(array, message):
    with pytest.raises(PictureError, match=message):
        read_image(array)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.png", b"", "0 bytes"),
        ("text.png", b"this is only text", "another kind of file"),
        ("phone.heic", b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "in HEIC, expected JPEG.*Export it as JPEG"),
        ("huge.png", png_header(20_000, 20_000), "at most 50 million"),
        ("large.png", png_header(8_000, 8_000), "8000x8000 pixels, expected at most 50 million"),
        ("short.png", png_header(100, 100), "damaged or cut off"),
    ],
)
def test_bad_files_name_the_path_and_what_to_do(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(PictureError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "expected" in str(caught.value)


def test_too_large_is_refused_before_decoding(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(20_000, 20_000))
    start = time.perf_counter()
    with pytest.raises(PictureError):
        read_image(path)
    assert time.perf_counter() - start < 1


def test_the_limit_holds_for_arrays_too(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    with pytest.raises(PictureError, match="4x3 pixels"):
        read_image(np.zeros((3, 4), np.uint8))


def test_truncated_jpeg(tmp_path):
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(data, "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(data.getvalue()[: len(data.getvalue()) // 2])
    with pytest.raises(PictureError, match="damaged or cut off"):
        read_image(path)


def test_damaged_bytes_raise_nothing_but_picture_errors():
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(data, "PNG")
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(100):
        damaged = bytearray(data.getvalue())
        for place in rng.integers(8, len(damaged), 5):
            damaged[place] = rng.integers(256)
        try:
            assert read_image(bytes(damaged)).dtype == np.uint8
        except PictureError:
            refused += 1
    assert refused > 50


def test_missing_file_folder_and_wrong_type(tmp_path):
    with pytest.raises(PictureError, match="No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(PictureError, match="a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="type int"):
        read_image(3)


def test_to_grey_agrees_with_opencv():
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    theirs = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    assert np.abs(to_grey(pixels).astype(int) - theirs).max() <= 1
    assert to_grey(theirs) is theirs
    assert to_grey(np.full((2, 2), 0.5)).tolist() == [[128, 128], [128, 128]]
