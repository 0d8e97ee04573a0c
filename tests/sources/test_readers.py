"""Each data set is known by its content and read with labels, splits, persons and votes."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferkit.errors import DataError
from ferkit.labels import EXPRESSIONS, FER2013
from ferkit.sources import Pictures, load

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")


def faces(n, side=8):
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def pixel_csv(codes, pictures, usage=None, columns=("emotion", "pixels", "Usage")):
    usage = usage or ["Training"] * len(codes)
    rows = [
        {"emotion": str(code), "pixels": " ".join(map(str, face.ravel())), "Usage": use}
        for code, face, use in zip(codes, pictures, usage, strict=True)
    ]
    return "\n".join([",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]) + "\n"


def picture(path, size=(20, 16), value=100, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def packed(text, how):
    if how == "plain":
        return text.encode()
    if how == "gz":
        return gzip.compress(text.encode(), mtime=0)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("readme.csv", "a,b\n")
        archive.writestr("inner/fer2013.csv", text)
    return data.getvalue()


@pytest.mark.parametrize("how", ["plain", "gz", "zip"])
def test_pixel_csv_whatever_its_name(tmp_path, how):
    pictures = faces(3)
    path = tmp_path / "something.bin"
    path.write_bytes(packed(pixel_csv([3, 0, 6], pictures, ["Training", "PublicTest", "PrivateTest"]), how))
    data = load(path)
    assert np.array_equal(data.pictures, pictures)
    assert data.labels.tolist() == ["happiness", "anger", "neutral"]
    assert data.splits.tolist() == ["Training", "PublicTest", "PrivateTest"]
    assert data.names.tolist() == ["something.bin:2", "something.bin:3", "something.bin:4"]
    assert (data.kind, data.skipped, data.subjects) == ("fer2013", [], None)


def test_columns_in_any_order_quotes_bom_and_windows_lines(tmp_path):
    text = pixel_csv(["happy", "0.0"], faces(2), columns=("Usage", "pixels", "emotion"))
    lines = text.replace("pixels", '"Pixels"').splitlines()
    lines[1] = '"Training","' + lines[1].split(",")[1] + '","happy"'
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    data = load(tmp_path)
    assert data.labels.tolist() == ["happiness", "anger"]
    assert np.array_equal(data.pictures, faces(2))


def test_usage_may_be_missing(tmp_path):
    (tmp_path / "a.csv").write_text(pixel_csv([1], faces(1), columns=("emotion", "pixels")))
    assert load(tmp_path / "a.csv").split_names == []


def test_bad_rows_are_skipped_with_their_line(tmp_path):
    lines = pixel_csv([0, 1, 2, 3, 4, 5, 6], faces(7)).splitlines()
    lines[2] = "1,1 2 3,Training"
    lines[3] = "9" + lines[3][1:]
    lines[4] = lines[4].replace(" ", " x", 1)
    lines[5] = "4,300" + lines[5][lines[5].index(" ") :]
    lines[6] = "5"
    lines.append("")
    lines.append(lines[1].replace("0,", "banana,", 1))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    data = load(tmp_path / "a.csv")
    assert data.labels.tolist() == ["anger", "neutral"]
    assert [name for name, _ in data.skipped] == [f"a.csv:{line}" for line in (3, 4, 5, 6, 7, 10)]
    reasons = [reason for _, reason in data.skipped]
    assert reasons[0] == "Got 3 pixels, expected 64."
    assert "label='9'" in reasons[1]
    assert "whole numbers" in reasons[2]
    assert reasons[3] == "Got pixel=300, expected 0 to 255."
    assert "1 columns" in reasons[4]
    assert "label='banana'" in reasons[5]


def test_a_short_first_row_does_not_mislead(tmp_path):
    (tmp_path / "a.csv").write_text("emotion,pixels\n1,5 5 5 5\n" + pixel_csv([0, 2], faces(2)).split("\n", 1)[1])
    data = load(tmp_path / "a.csv")
    assert len(data) == 2
    assert data.skipped == [("a.csv:2", "Got 4 pixels, expected 64.")]


def test_ck_plus_as_csv_has_contempt(tmp_path):
    (tmp_path / "ckextended.csv").write_text(pixel_csv(range(8), faces(8)))
    data = load(tmp_path / "ckextended.csv")
    assert data.labels.tolist() == list(EXPRESSIONS)
    assert (data.kind, data.skipped) == ("ckplus", [])


def test_a_stray_7_in_fer2013_is_an_unknown_label(tmp_path):
    (tmp_path / "a.csv").write_text(pixel_csv([*list(range(7)) * 20, 7], faces(141)))
    data = load(tmp_path / "a.csv")
    assert (data.kind, len(data), len(data.skipped)) == ("fer2013", 140, 1)
    assert "label='7'" in data.skipped[0][1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"emotion,pixels\n", "without rows"),
        (b"emotion,pixels\n0,1 2 3\n", "rows of 3 pixels"),
        (b"emotion,pixels\nbad,1 2 3 4\n", "without a row that can be used.*label='bad'"),
        (b"a,b\n1,2\n", r"columns \['a', 'b'\]"),
        (b"", "no CSV header"),
        (b"\0\1\2", "no CSV header"),
        (gzip.compress(b"emotion,pixels\n" + b"0,1 2 3 4\n" * 999, mtime=0)[:-20], "whole, readable CSV"),
        (b"\x1f\x8bnothing", "whole, readable CSV"),
        (b"PK\x03\x04nothing", "whole, readable CSV"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path / "a.csv")
    assert "a.csv" in str(caught.value)


def test_zip_without_csv(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jpg", b"1")
    with pytest.raises(DataError, match="zip without a CSV"):
        load(tmp_path / "a.zip")


def test_large_quoted_pictures_are_read(tmp_path):
    (large,) = faces(1, 224)
    (tmp_path / "a.csv").write_text(f'emotion,pixels\n3,"{" ".join(map(str, large.ravel()))}"\n')
    limit = csv.field_size_limit()
    assert np.array_equal(load(tmp_path / "a.csv").pictures[0], large)
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    "text",
    [
        'emotion,pixels\n0,1 2 3 4\n0,"1 2 3 4"\r5\n0,1 2 3 4\n',
        'image,label\na.png,happy\nb.png,"sad\nc.png,happy\n',
        'image,label\na.png,happy\nb.png,"sad\n' + 9_000 * "face.png,happy\n",
    ],
    ids=["pixels", "table", "long table"],
)
def test_a_broken_csv_is_an_error_with_its_line(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(DataError, match=r"Got line 3 of '.*a\.csv', from which on it cannot be read"):
        load(tmp_path / "a.csv")


def test_a_stray_quote_costs_one_row_of_pixels(tmp_path):
    (tmp_path / "a.csv").write_text('emotion,pixels,Usage\n0,1 2 3 4,\n0,"1 2 3 4,\n0,"1 2 3 4" ,\n')
    data = load(tmp_path / "a.csv")
    assert (len(data), [name for name, _ in data.skipped]) == (2, ["a.csv:3"])


def test_votes_that_are_broken(tmp_path):
    fer_plus(tmp_path, [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    path = tmp_path / "fer2013new.csv"
    text = path.read_text()
    path.write_bytes(text.replace("fer0", "caf\xe9").encode("latin-1"))
    assert load(tmp_path).labels.tolist() == ["neutral"]
    path.write_text(text.replace("fer0", '"fer0'))
    with pytest.raises(DataError, match="Got line 2 of"):
        load(tmp_path)


def altered(archive, offset, value):
    """A zip whose only file has another value at an offset from the start of its two headers' common part."""
    data = bytearray(archive)
    for mark, start in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + start + offset] = value
    return bytes(data)


@pytest.mark.parametrize(("offset", "value"), [(0, 1), (2, 9)], ids=["password", "Deflate64"])
def test_zips_that_cannot_be_unpacked(tmp_path, offset, value):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.csv", "emotion,pixels\n0,1 2 3 4\n")
    (tmp_path / "locked.zip").write_bytes(altered(data.getvalue(), offset, value))
    with pytest.raises(DataError, match=r"locked.zip.*Unpack it and name its folder"):
        load(tmp_path / "locked.zip")
    picture(tmp_path / "happy" / "a.png")
    assert load(tmp_path).labels.tolist() == ["happiness"]


def test_unknown_split_lists_those_there_are(tmp_path):
    (tmp_path / "a.csv").write_text(pixel_csv([0, 1], faces(2), ["Training", "PublicTest"]))
    assert len(load(tmp_path / "a.csv", split="PublicTest")) == 1
    with pytest.raises(DataError, match=r"split='nope'.*Training, PublicTest"):
        load(tmp_path / "a.csv", split="nope")


VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


def fer_plus(folder, votes, n=None):
    n = n or len(votes)
    (folder / "fer2013.csv").write_text(pixel_csv([0] * n, faces(n)))
    rows = "".join(f"Training,fer{i:07d}.png,{','.join(map(str, row))}\n" for i, row in enumerate(votes))
    (folder / "fer2013new.csv").write_text(VOTES + rows)


def test_fer_plus_majority_rule(tmp_path):
    fer_plus(
        tmp_path,
        [
            [6, 4, 0, 0, 0, 0, 0, 0, 0, 0],  # neutral
            [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # no majority
            [0, 5, 1, 1, 1, 1, 1, 0, 0, 0],  # single votes count as none: happiness
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face
            [0, 0, 0, 0, 3, 0, 0, 0, 7, 0],  # unknown
            [0, 0, 0, 0, 0, 0, 0, 8, 2, 0],  # contempt
        ],
    )
    data = load(tmp_path)
    assert data.kind == "ferplus"
    assert data.labels.tolist() == ["neutral", "happiness", "contempt"]
    assert data.names.tolist() == ["fer2013.csv:2", "fer2013.csv:4", "fer2013.csv:7"]
    assert np.array_equal(data.pictures, faces(6)[[0, 2, 5]])
    assert data.votes.sum(axis=1) == pytest.approx(1)
    assert data.votes[0, [EXPRESSIONS.index("neutral"), EXPRESSIONS.index("happiness")]] == pytest.approx([0.6, 0.4])
    assert data.votes[1, EXPRESSIONS.index("happiness")] == 1
    assert len(data.skipped) == 3
    assert load(tmp_path / "fer2013new.csv").labels.tolist() == data.labels.tolist()
    assert load(tmp_path / "fer2013.csv").kind == "fer2013"


def test_fer_plus_rows_stay_beside_their_faces_when_one_is_skipped(tmp_path):
    fer_plus(tmp_path, [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 9, 0, 0, 0, 0, 0, 0, 0]])
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    lines[2] = "0,1 2,Training"
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    data = load(tmp_path)
    assert data.labels.tolist() == ["neutral", "surprise"]
    assert np.array_equal(data.pictures, faces(3)[[0, 2]])


def test_fer_plus_with_blank_lines_at_the_end(tmp_path):
    fer_plus(tmp_path, [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0, 0, 0, 0, 0]])
    expected = load(tmp_path).labels.tolist()
    with (tmp_path / "fer2013.csv").open("a") as file:
        file.write("\n\r\n")
    assert load(tmp_path).labels.tolist() == expected


def test_fer_plus_that_does_not_fit(tmp_path):
    fer_plus(tmp_path, [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]], n=2)
    with pytest.raises(DataError, match=r"Got 2 rows.*and 1 in"):
        load(tmp_path)
    fer_plus(tmp_path, [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
    text = (tmp_path / "fer2013new.csv").read_text()
    (tmp_path / "fer2013new.csv").write_text(text.replace("Training", "PublicTest"))
    with pytest.raises(DataError, match="another split in line 2"):
        load(tmp_path)
    (tmp_path / "fer2013new.csv").write_text(text.replace("9,0", "x,0"))
    with pytest.raises(DataError, match="not whole numbers"):
        load(tmp_path)
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(DataError, match="Got 0 CSV files of emotion,pixels"):
        load(tmp_path)


def test_ck_plus_official(tmp_path):
    images, codes = tmp_path / "cohn-kanade-images", tmp_path / "Emotion"
    for sequence, frames, code in (
        ("S005/001", 3, "3.0"),
        ("S010/002", 2, "7.0"),
        ("S011/001", 1, "0"),
        ("S012/003", 1, "12"),
    ):
        stem = sequence.replace("/", "_")
        for i in range(1, frames + 1):
            picture(images / sequence / f"{stem}_{i:08d}.png", value=i)
        (codes / sequence).mkdir(parents=True)
        (codes / sequence / f"{stem}_{frames:08d}_emotion.txt").write_text(
            f"   {code}000000e+00\n" if "." in code else code
        )
    (codes / "S099" / "001").mkdir(parents=True)
    (codes / "S099" / "001" / "S099_001_00000009_emotion.txt").write_text("1.0")
    (codes / "S099" / "001" / "S099_002_00000009_emotion.txt").write_text("text")
    data = load(tmp_path)
    assert data.kind == "ckplus"
    assert data.labels.tolist() == ["disgust", "surprise", "neutral"]
    assert data.subjects.tolist() == ["S005", "S010", "S011"]
    assert [picture[0, 0] for picture in data.pictures] == [3, 2, 1]
    assert [reason for _, reason in data.skipped] == [
        "Got a code other than 0 to 7.",
        "Got no pictures of this sequence.",
        "Got a code other than 0 to 7.",
    ]
    both = load(tmp_path, neutral_first=True)
    assert both.labels.tolist() == ["disgust", "neutral", "surprise", "neutral", "neutral"]
    assert [picture[0, 0] for picture in both.pictures] == [3, 1, 2, 1, 1]


def test_ck_plus_without_pictures(tmp_path):
    (tmp_path / "S005_001_00000011_emotion.txt").write_text("3.0")
    with pytest.raises(DataError, match="without pictures"):
        load(tmp_path)


@pytest.mark.parametrize("named", [".", "cohn-kanade-images", "cohn-kanade-images/S005", "cohn-kanade-images/S005/001"])
def test_ck_plus_without_emotion_codes_does_not_take_persons_for_labels(tmp_path, named):
    for sequence in ("S005/001", "S010/002"):
        picture(tmp_path / "cohn-kanade-images" / sequence / f"{sequence.replace('/', '_')}_00000001.png")
    picture(tmp_path / "Landmarks" / "shown.png")
    with pytest.raises(DataError, match=r"expected Emotion/ too. Name the folder that holds both"):
        load(tmp_path / named)


def test_ck_plus_cut_to_48x48_in_a_wrapping_folder(tmp_path):
    picture(tmp_path / "CK+48" / "anger" / "S010_004_00000017.png", (48, 48))
    picture(tmp_path / "CK+48" / "happy" / "S011_006_00000012.png", (48, 48))
    data = load(tmp_path)
    assert (data.kind, data.labels.tolist(), data.subjects.tolist()) == (
        "ckplus",
        ["anger", "happiness"],
        ["S010", "S011"],
    )
    assert data.pictures.shape == (2, 48, 48)


def test_jaffe(tmp_path):
    for name in ("KA.AN1.39.tiff", "KA.SU2.40.tiff", "YM.NE1.49.tiff", "readme.png"):
        picture(tmp_path / "jaffe" / name, (256, 256))
    data = load(tmp_path)
    assert data.kind == "jaffe"
    assert data.labels.tolist() == ["anger", "surprise", "neutral"]
    assert data.subjects.tolist() == ["KA", "KA", "YM"]
    assert [name for name, _ in data.skipped] == ["jaffe/readme.png"]


def test_csv_beside_pictures(tmp_path):
    for i in range(3):
        picture(tmp_path / "img" / f"Ann_Example_{i:04d}.jpg", (200 + i, 100), mode="RGB", value="red")
    (tmp_path / "img" / "broken.jpg").write_bytes(b"")
    (tmp_path / "labels.csv").write_text(
        "split;image;emotion\ntrain;img/Ann_Example_0000.jpg;HAPPY\ntest;img/Ann_Example_0001.jpg;bored\n"
        "train;img/gone.jpg;sad\n;img/Ann_Example_0002.jpg;\ntrain;img/broken.jpg;sad\n"
    )
    data = load(tmp_path)
    assert (data.kind, type(data.pictures), data.subjects) == ("table", Pictures, None)
    assert data.labels.tolist() == ["happiness", "bored"]
    assert data.splits.tolist() == ["Training", "Test"]
    assert data.pictures[0].shape == (100, 200, 3)
    assert [name for name, _ in data.skipped] == ["labels.csv:5", "img/gone.jpg", "img/broken.jpg"]
    assert load(tmp_path / "labels.csv", subjects_from_names=True).subjects.tolist() == ["Ann_Example"] * 2
    unchecked = load(tmp_path, check=False)
    assert len(unchecked) == 4


def test_csv_with_subjects(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "x.csv").write_text("image,label,subject\na.png,joy,p1\n")
    data = load(tmp_path, subjects_from_names=True)
    assert (data.labels.tolist(), data.subjects.tolist()) == (["happiness"], ["p1"])


def test_a_picture_that_a_csv_names_again(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "x.csv").write_text("image,label,subject\na.png,joy,\nb.png,fear,\na.png,anger,\na.png,joy,\n")
    data = load(tmp_path)
    assert data.names.tolist() == ["a.png", "b.png", "a.png (2)"]
    assert data.labels.tolist() == ["happiness", "fear", "happiness"]
    assert [name for name, _ in data.skipped] == ["x.csv:4"]
    assert data.skipped[0][1].startswith("Got 'a.png' again, with label 'anger', expected one label, 'joy'")
    assert data.subjects is None


def test_spellings_of_one_label_do_not_contradict(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "a.csv").write_text("image,label\na.png,Happy\na.png,happiness\nb.png,Bored\nb.png,bored\n")
    data = load(tmp_path)
    assert data.labels.tolist() == ["happiness", "happiness", "Bored"]
    assert [name for name, _ in data.skipped] == ["a.csv:5"]


def test_a_table_from_windows_finds_its_pictures(tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png")
    (tmp_path / "a.csv").write_bytes(b"image,label\r\nin\\a.png,happy\r\nin\\b.png,sad\r\nin/a.png,sad\r\n")
    data = load(tmp_path)
    assert data.names.tolist() == [r"in\a.png", r"in\b.png"]
    assert (data.labels.tolist(), len(data.pictures)) == (["happiness", "sadness"], 2)
    assert [name for name, _ in data.skipped] == ["a.csv:4"]  # the same picture again, with another label


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16_is_read(tmp_path, encoding):
    picture(tmp_path / "m\u00fcde.png")
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "a.txt").write_bytes((mark + "image\tlabel\r\nm\u00fcde.png\thappy\r\n").encode(encoding))
    data = load(tmp_path)
    assert (data.names.tolist(), data.labels.tolist()) == (["m\u00fcde.png"], ["happiness"])


def test_a_table_that_only_starts_like_utf_16(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfeimage,label\nx")
    with pytest.raises(DataError, match="starts like UTF-16 and is not"):
        load(tmp_path / "a.csv")


def test_categories_that_look_like_codes_and_other_spellings(tmp_path):
    for name in ("an/1.png", "calm/1.png", "neutral/1.png", "m\u00fcde/1.png", "mu\u0308de/2.png"):
        picture(tmp_path / name)
    assert load(tmp_path).classes == ["neutral", "an", "calm", "m\u00fcde"]


def test_two_sets_in_one_folder(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("image,label\n")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bx")
    with pytest.raises(DataError, match=r"2 data sets.*one\.csv, two\.csv"):
        load(tmp_path)


def test_folders_name_the_categories(tmp_path):
    for name in ("Happy/1.png", "bored/Ann_01.jpg", "bored/deep/Bob_02.jpg", "stray.png"):
        picture(tmp_path / name)
    (tmp_path / "bored" / "text.jpg").write_text("no picture")
    data = load(tmp_path)
    assert data.labels.tolist() == ["happiness", "bored", "bored"]
    assert data.classes == ["happiness", "bored"]
    assert sorted(name for name, _ in data.skipped) == ["bored/text.jpg", "stray.png"]
    assert (data.kind, data.splits.tolist()) == ("folders", [""] * 3)
    assert load(tmp_path, subjects_from_names=True).subjects.tolist() == ["", "Ann", "Bob"]


def test_a_folder_with_one_class_loads(tmp_path):
    picture(tmp_path / "happy" / "1.png")
    assert load(tmp_path).labels.tolist() == ["happiness"]


@pytest.mark.parametrize(
    ("parts", "splits"),
    [
        (("train", "test"), ["Test", "Training"]),
        (("Training", "PublicTest", "PrivateTest"), ["PrivateTest", "PublicTest", "Training"]),
        (("train", "validation", "test"), ["PrivateTest", "Training", "PublicTest"]),
    ],
)
def test_fer2013_as_folders(tmp_path, parts, splits):
    for part in parts:
        picture(tmp_path / part / "angry" / "Training_1.jpg", (48, 48))
    data = load(tmp_path)
    assert data.kind == "fer2013"
    assert data.split_names == splits
    assert data.pictures.shape == (len(parts), 48, 48)


def test_names_of_fer2013_s_pictures_part_its_test_folder(tmp_path):
    for name in ("train/angry/Training_3", "test/angry/PublicTest_8", "test/happy/PrivateTest_10", "test/happy/mine"):
        picture(tmp_path / f"{name}.jpg", (48, 48))
    data = load(tmp_path)
    assert dict(zip(data.names, data.splits, strict=True)) == {
        "train/angry/Training_3.jpg": "Training",
        "test/angry/PublicTest_8.jpg": "PublicTest",
        "test/happy/PrivateTest_10.jpg": "PrivateTest",
        "test/happy/mine.jpg": "Test",
    }
    assert (data.kind, len(data.split("PrivateTest"))) == ("fer2013", 1)


def test_names_of_fer2013_s_pictures_do_not_undo_a_split_of_ones_own(tmp_path):
    for part, name in (("train", "Training_1"), ("val", "Training_2"), ("test", "PublicTest_3")):
        picture(tmp_path / part / "angry" / f"{name}.jpg", (48, 48))
    assert load(tmp_path).splits.tolist() == ["PrivateTest", "Training", "PublicTest"]


def test_names_of_fer2013_s_pictures_are_splits_without_folders_of_splits(tmp_path):
    for name in ("angry/Training_3", "angry/PublicTest_8", "happy/PrivateTest_10"):
        picture(tmp_path / f"{name}.jpg", (48, 48))
    assert load(tmp_path).splits.tolist() == ["PublicTest", "Training", "PrivateTest"]
    picture(tmp_path / "happy" / "mine.jpg", (48, 48))
    assert load(tmp_path).splits.tolist() == [""] * 4


def test_one_split_folder_alone_is_a_split(tmp_path):
    picture(tmp_path / "train" / "angry" / "1.jpg", (48, 48))
    data = load(tmp_path)
    assert (data.labels.tolist(), data.splits.tolist()) == (["anger"], ["Training"])


def test_pictures_without_labels(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 pictures and no labels"):
        load(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "gone")


def test_sample_is_always_there():
    data = load("sample", split="train")
    assert (data.kind, len(data), data.classes) == ("sample", 490, list(FER2013))


@real
def test_real_photos():
    data = load(SHARED / "photos", subjects_from_names=True)
    assert (len(data), data.kind, data.skipped) == (1570, "table", [])
    assert data.subjects[0] == "AJ_Cook"


@real
def test_real_fer2013(tmp_path):
    with gzip.open(SHARED / "fer2013" / "fer2013.csv.gz", "rt") as file:
        start = "".join(next(file) for _ in range(301))
    (tmp_path / "start.csv").write_text(start)
    data = load(tmp_path / "start.csv")
    assert (data.pictures.shape, data.skipped, data.kind) == ((300, 48, 48), [], "fer2013")
    assert data.pictures[0, 0, :4].tolist() == [70, 80, 82, 72]


@real
def test_real_fer_plus():
    data = load(SHARED / "fer2013")
    assert (data.kind, data.split_names) == ("ferplus", ["Training", "PublicTest"])
    assert len(data) + len(data.skipped) == 28705 + 3589
    assert 0.85 < len(data) / (28705 + 3589) < 0.9
    assert data.votes.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (data.votes.argmax(axis=1) == [EXPRESSIONS.index(label) for label in data.labels]).all()
