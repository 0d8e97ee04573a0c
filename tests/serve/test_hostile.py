"""A hundred uploads that no honest client sends: each is refused, and the server lives on."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from uploads import encoded

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, *chunks, depth=8, kind=2):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks)


def jpeg_of(width, height):
    """A small JPEG whose header claims another size."""
    data = bytearray(encoded(NOISE))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans():
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * 200 + b"\xff\xd9"


def uploads():
    """Name and content of each."""
    whole = {form: encoded(NOISE, form) for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP")}
    for form, data in whole.items():
        for share in (0.02, 0.1, 0.3, 0.5, 0.7):
            yield f"{form} cut at {share}", data[: max(4, int(len(data) * share))]
        yield f"{form} head then zeros", data[:20] + bytes(2000)
        yield f"{form} behind rubbish", b"rubbish" + data
    for side in (25_000, 65_000):
        yield f"jpeg of {side}", jpeg_of(side, side)
    for width, height in ((100_000, 100_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0), (0, 10), (50_000, 30_000)):
        yield f"png of {width}x{height}", png(width, height, chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    for width, height in ((60_000, 60_000), (65_535, 65_535), (0, 0)):
        yield f"gif of {width}x{height}", b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x3b"
        frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x01\x00\x00\x3b"
        yield f"gif frame of {width}x{height}", b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + frame
    for width, height in ((100_000, 100_000), (-5, 10), (10, -100_000_000), (0, 0)):
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        yield f"bmp of {width}x{height}", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head
    bomb = zlib.compress(bytes(60_000_000), 9)
    yield "png bomb", png(20_000, 20_000, chunk(b"IDAT", bomb), chunk(b"IEND", b""))
    yield "png text bomb", png(10, 10, chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"IEND", b""))
    yield "png profile bomb", png(10, 10, chunk(b"iCCP", b"a\0\0" + bomb), chunk(b"IEND", b""))
    yield "png of wrong checksums", png(10, 10) + b"\0\0\0\x05IDATxxxxx\0\0\0\0"
    yield "png without pixels", png(10, 10, chunk(b"IEND", b""))
    yield "png of unknown kind", png(10, 10, chunk(b"IDAT", zlib.compress(bytes(400))), depth=3, kind=9)
    yield "jpeg of many scans", many_scans()
    canvas = struct.pack("<I", 16_382)[:3] * 2
    vp8x = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    yield "webp of 16383x16383", b"RIFF" + struct.pack("<I", 4 + len(vp8x)) + b"WEBP" + vp8x
    for name, data in {
        "eps that runs a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\nshowpage",
        "svg that names a file": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "html": b"<html><script>alert(1)</script>",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>",
        "zip": b"PK\x03\x04" + bytes(200),
        "gzip bomb": b"\x1f\x8b\x08" + bomb[:5000],
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "elf": b"\x7fELF" + bytes(400),
        "text": b"hello",
        "one byte": b"\xff",
        "zeros": bytes(100_000),
        "tiff": encoded(NOISE, "TIFF"),
        "ppm": b"P6 100000 100000 255\n",
        "pcx": encoded(NOISE, "PCX"),
        "ico": encoded(NOISE, "ICO"),
        "icns": b"icns" + struct.pack(">I", 2**31) + bytes(60),
        "psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3),
        "mp4": b"\0\0\0\x18ftypisom" + bytes(300),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(100),
        "fits": b"SIMPLE  =                    T" + bytes(2850),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        "numpy": b"\x93NUMPY\x01\0" + bytes(100),
        "utf-16": "hello".encode("utf-16"),
        "xml of entities": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        "path": b"../../../../etc/passwd",
        "address": b"http://169.254.169.254/latest/meta-data",
    }.items():
        yield name, data
    for i in range(16):
        yield f"noise {i}", RNG.bytes(int(RNG.integers(2, 5000)))


UPLOADS = list(uploads())
NAMES = (
    "a.jpg",
    "../../../../etc/passwd",
    "/etc/passwd",
    "a\x00.jpg",
    "a.jpg\r\nX: y",
    "x" * 5000,
    "CON",
    "file:///etc/passwd",
)


def test_there_are_a_hundred_kinds():
    assert len(UPLOADS) >= 100
    assert len({name for name, _ in UPLOADS}) == len(UPLOADS)


def test_hostile_uploads_are_refused_and_the_server_lives_on(start, photo):
    server = start()
    with server.client() as client:
        send_all(client)
        assert client.post("/api/predict", files={"file": photo}).json()["faces"][0]["label"] == "happiness"
    assert server.process.poll() is None


def send_all(client):
    for i, (name, data) in enumerate(UPLOADS):
        answer = client.post("/api/predict", files={"file": (NAMES[i % len(NAMES)], data, "image/jpeg")})
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text[:200])
        assert answer.headers["content-type"] == "application/problem+json", name
        assert "/etc/passwd" not in answer.json()["detail"] or "path" in name, name


FORM = "multipart/form-data; boundary=x"
PART = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("not a form", FORM),
        ("--x\r\n" * 3000, FORM),
        ("", "multipart/form-data"),
        ("{}", "application/json"),
        ("--x\r\n" + PART.format("file", "no file") + "\r\n--x--\r\n", FORM),
        ("--x\r\n" + PART.format("hog", "maybe") + "\r\n--x--\r\n", FORM),
    ],
    ids=range(6),
)
def test_forms_that_are_none_are_refused(client, content, kind):
    answer = client.post("/api/predict", content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


def test_bodies_that_are_too_long_are_refused_with_and_without_their_length(client):
    too_long = 13_000_000
    answer = client.post("/api/predict", files={"file": bytes(too_long)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    parts = (head + bytes(1_000_000) if i == 0 else bytes(1_000_000) for i in range(14))
    answer = client.post("/api/predict", content=parts, headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert client.post("/api/readings", content=b"[" + b" " * 1_200_000).status_code == 413
