import numpy as np
import pytest

from ferkit.draw import draw_readings
from ferkit.errors import InputError
from ferkit.records import Reading

PROBABILITIES = {"anger": 0.1, "happiness": 0.7, "neutral": 0.2}


def reading(box, label="happiness"):
    return Reading("a.png", 0, None, 0, box, label, 0.7, PROBABILITIES)


@pytest.mark.parametrize("shape", [(480, 640), (480, 640, 3), (2160, 3840, 3), (20, 20, 3)])
def test_a_box_is_drawn_and_the_picture_is_left_alone(shape):
    image = np.full(shape, 90, np.uint8)
    before = image.copy()
    height, width = shape[:2]
    drawn = draw_readings(image, [reading((width * 0.3, height * 0.3, width * 0.6, height * 0.8))])
    assert drawn.shape == (height, width, 3)
    assert np.array_equal(image, before)
    assert tuple(drawn[int(height * 0.5), int(width * 0.3)]) != (90, 90, 90)


def test_the_longest_bar_belongs_to_the_most_probable_label():
    image = np.zeros((480, 640, 3), np.uint8)
    drawn = draw_readings(image, [reading((100, 100, 200, 200))])
    orange = (drawn[:, 210:] == (0xE6, 0x9F, 0x00)).all(axis=2).sum()
    grey = (drawn[:, 210:] == (0x76, 0x76, 0x76)).all(axis=2).sum()
    assert orange > 2 * grey > 0


def test_bars_move_to_the_left_or_vanish_where_there_is_no_room():
    image = np.full((480, 640, 3), 200, np.uint8)
    left = draw_readings(image, [reading((400, 100, 630, 300))])
    assert (left[110, 270:390] != 200).any()
    none = draw_readings(image, [reading((5, 100, 635, 300))])
    assert (none[150, 20:620] == 200).all()


def test_no_readings_gives_a_copy():
    image = np.zeros((10, 10, 3), np.uint8)
    drawn = draw_readings(image, [])
    assert drawn is not image
    assert not drawn.any()


def test_wrong_picture():
    with pytest.raises(InputError, match="Got image"):
        draw_readings(np.zeros((4, 4, 3)), [])
