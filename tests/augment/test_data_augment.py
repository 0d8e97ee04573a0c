import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ferkit.cli.data_augment import augment


def run(*arguments):
    return CliRunner().invoke(augment, list(arguments))


def test_sample_set_and_settings(tmp_path):
    path = tmp_path / "out.png"
    done = run(
        "sample", "--show", str(path), "--faces", "3", "--columns", "4", "--set", "blur=0", "--set", "flip=false"
    )
    assert done.exit_code == 0, done.output
    assert done.output == f"Wrote {path}: 3 faces, 4 changed copies of each.\n"
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == ((11 + 3) * 100, 120 + 108 + 4 * 100)
    assert picture.std() > 20
    first = [picture[i * 100 : i * 100 + 96, 120:216] for i in (11, 12, 13)]
    assert not np.array_equal(first[0], first[1])


def test_one_photo_and_another_seed(tmp_path):
    from skimage.data import astronaut

    photo, one, other = (str(tmp_path / name) for name in ("photo.png", "one.png", "other.png"))
    Image.fromarray(astronaut()).save(photo)
    assert "1 face, 8 changed copies" in run(photo, "--show", one, "--no-kinds").output
    assert run(photo, "--show", other, "--no-kinds", "--seed", "1").exit_code == 0
    a, b = (cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in (one, other))
    np.testing.assert_array_equal(a[:, :228], b[:, :228])
    assert not np.array_equal(a, b)


def test_what_it_shows_is_not_written_over(tmp_path):
    people = tmp_path / "set" / "anger"
    people.mkdir(parents=True)
    photo = people / "a.png"
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (150, 1))).save(photo)
    before = photo.read_bytes()
    for path in (photo, people.parent):
        assert run(str(path), "--show", str(photo)).exit_code == 2
    assert photo.read_bytes() == before
    assert "picture's name" in str(run(str(photo), "--show", str(tmp_path / "a.xyz")).exception)


def test_picture_without_a_face_shows_its_middle(tmp_path):
    path = tmp_path / "wall.png"
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (150, 1))).save(path)
    assert "1 face," in run(str(path), "--show", str(tmp_path / "out.png")).output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rotaton=3", "Did you mean 'rotation'?"),
        ("rotation=much", "expected a number"),
        ("flip=3", "expected true or false"),
        ("seed=3", "expected one of"),
    ],
)
def test_wrong_settings_are_usage_errors(setting, message, tmp_path):
    done = run("sample", "--show", str(tmp_path / "out.png"), "--set", setting)
    assert done.exit_code == 2
    assert message in done.output
    assert not list(tmp_path.iterdir())
