"""What is drawn: readable sizes, mirror, HOG view, timelines; keys without a window."""

import numpy as np
import pytest

from ferkit import lettering
from ferkit.errors import FerkitError
from ferkit.labels import FER2013
from ferkit.live import NOT_SURE, LiveReading, Moment, Summary
from ferkit.live.chart import draw_timeline
from ferkit.live.drawing import GREY, Overlay, hog_view, ink_of
from ferkit.live.window import Controls, Window, save_snapshot, why_no_window
from ferkit.records import Frame, Reading
from ferkit.sources import draw_face, to_grey

CROP = to_grey(draw_face("happiness", seed=1, size=48))


def moment(shape=(480, 640), label="happiness", i=0, box=(100, 100, 220, 220), dropped=0):
    shares = dict.fromkeys(FER2013, 0.05) | {"happiness": 0.7}
    x1, y1, x2, y2 = (v * shape[0] / 480 for v in box)
    reading = Reading("drawn", i, i / 10, 0, (x1, y1, x2, y2), "happiness", 0.7, shares)
    readings = (LiveReading(reading, 1, label, shares, True, CROP),)
    return Moment(Frame(np.zeros((*shape, 3), np.uint8), "drawn", i, i / 10), readings, 7.0, dropped)


def test_sizes_follow_the_frame():
    small = Overlay().draw(moment((480, 640)))
    large = Overlay().draw(moment((2160, 2880)))
    assert small.shape == (480, 640, 3)
    ink = [(picture.max(axis=2) > 100).mean() for picture in (small, large)]
    assert ink[1] == pytest.approx(ink[0], rel=0.35)


def test_the_frame_itself_is_not_drawn_on():
    one = moment()
    Overlay().draw(one)
    assert not one.frame.image.any()


@pytest.mark.parametrize("label", ["m\u00fcde", "\u0443\u0441\u0442\u0430\u043b\u044b\u0439"])
def test_labels_in_other_letters_can_be_read(label):
    other = Overlay().draw(moment(label=label))
    plate = (slice(80, 100), slice(100, 220))
    assert (other[plate].min(axis=2) > 200).sum() > 20
    assert len({lettering._letters(letter, 1.0).tobytes() for letter in label}) == len(set(label))
    assert Overlay().draw(moment(label=f"{label}\n{label}")).shape == (480, 640, 3)
    for box in ((-40, -40, 30, 30), (600, 440, 640, 480)):
        assert Overlay().draw(moment(label=label, box=box)).shape == (480, 640, 3)


def test_grey_frames_and_small_frames():
    one = moment((60, 80))
    grey = Moment(Frame(one.frame.image[..., 0], time=0.0), one.readings, 1.0)
    assert Overlay().draw(grey, hog=True).shape == (60, 80, 3)


def test_the_mirror_moves_the_box_and_not_the_text():
    plain, mirrored = (Overlay().draw(moment(), mirror=flag) for flag in (False, True))
    box = np.array(ink_of("happiness"))
    columns = [np.flatnonzero((picture[150] == box).all(axis=1)).mean() for picture in (plain, mirrored)]
    assert columns[0] < 320 < columns[1]
    assert (plain[:24, :150] == mirrored[:24, :150]).all()


def test_dropped_frames_are_shown():
    assert (Overlay().draw(moment(dropped=12)) != Overlay().draw(moment())).any()


def test_not_sure_is_grey():
    assert ink_of(NOT_SURE) == GREY
    picture = Overlay().draw(moment(label=NOT_SURE))
    assert (picture[160, 98:103] == GREY).all(axis=1).any()


def test_the_strip_below_a_face_shows_its_last_seconds():
    overlay = Overlay()
    for i in range(20):
        overlay.draw(moment(label="anger", i=i))
    for i in range(20, 40):
        picture = overlay.draw(moment(label="happiness", i=i))
    strip = picture[225, 100:220]
    assert tuple(strip[-3]) == ink_of("happiness")
    assert tuple(strip[-60]) == ink_of("anger")
    assert overlay._past[1].labels.maxlen == 60


@pytest.mark.parametrize("own", [("bored", "focused", "tired"), ("скука", "внимание", "усталость")])
def test_each_category_of_ones_own_has_one_colour_in_box_strip_bars_and_timeline(own):
    overlay, summary = Overlay(), Summary(sorted(own))
    shares = dict.fromkeys(own, 1 / 3)
    for i, label in enumerate(np.repeat(own, 20).tolist()):
        reading = Reading("drawn", i, i / 10, 0, (100, 100, 220, 220), label, 1 / 3, shares)
        one = LiveReading(reading, 1, label, shares, True, CROP)
        now = Moment(Frame(np.zeros((480, 640, 3), np.uint8), "drawn", i, i / 10), (one,), 7.0)
        picture = overlay.draw(now)
        summary.add(now, i, i)
    inks = [ink_of(label, sorted(own).index(label)) for label in own]
    assert len(set(inks)) == 3
    strip = picture[225, 100:220]
    assert {tuple(pixel) for pixel in strip.tolist()} == set(inks)
    assert tuple(strip[-1]) == tuple(picture[160, 100]) == inks[-1]
    assert all((picture[100:170, 290:340] == ink).all(axis=2).any() for ink in inks)
    chart = draw_timeline(summary)
    assert all((chart[40:60] == ink).all(axis=2).any() for ink in inks)


def test_a_timeline_names_categories_in_other_letters():
    legends = []
    for label in ("скука", "злоба"):
        summary = Summary([label])
        for i in range(10):
            summary.add(moment(label=label, i=i), i, i)
        legends.append(draw_timeline(summary)[5:27, 107:200])
    assert (legends[0] != legends[1]).any()  # letters, not a row of empty boxes


def test_the_hog_view_comes_from_the_cells():
    edge = np.zeros((48, 48), np.uint8)
    edge[:, 24:] = 200
    view = hog_view(edge, 96)
    rows = view[..., 0].mean(axis=1)
    columns = view[..., 0].mean(axis=0)
    assert columns.max() > 3 * rows.max()
    assert (Overlay().draw(moment(), hog=True)[360:] != Overlay().draw(moment())[360:]).any()


def test_a_timeline_of_a_session():
    summary = Summary(list(FER2013))
    for i in range(100):
        summary.add(moment(label="anger" if i < 50 else NOT_SURE, i=i), i, i)
    picture = draw_timeline(summary)
    assert (picture == ink_of("anger")).all(axis=2).any()
    assert (picture == GREY).all(axis=2).any()
    assert draw_timeline(Summary(list(FER2013))).shape[2] == 3


def test_keys():
    controls = Controls()
    for key, name in (("m", "mirror"), ("h", "hog"), (" ", "paused")):
        controls.press(ord(key))
        assert getattr(controls, name)
        controls.press(ord(key))
        assert not getattr(controls, name)
    controls.press(ord("S"))
    assert controls.snapshot
    controls.press(-1)
    controls.press(ord("x"))
    assert not controls.quit
    for key in (ord("q"), 27):
        quitting = Controls()
        quitting.press(key)
        assert quitting.quit


def test_snapshots_overwrite_nothing(tmp_path):
    picture = np.zeros((8, 8, 3), np.uint8)
    names = [save_snapshot(picture, tmp_path).name for _ in range(2)]
    assert names == ["ferkit_0001.png", "ferkit_0002.png"]
    with pytest.raises(FerkitError, match="Got snapshot="):
        save_snapshot(picture, tmp_path / "none")


def test_why_there_is_no_window(monkeypatch):
    assert "DISPLAY" in why_no_window({}, "linux")
    assert "does not answer" in why_no_window({"DISPLAY": ":987"}, "linux")
    assert why_no_window({"DISPLAY": "host:0"}, "linux") == ""
    assert why_no_window({"WAYLAND_DISPLAY": "wayland-0"}, "linux") == ""
    assert why_no_window({}, "darwin") == ""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ferkit.live.window.why_no_window", lambda: "no display")
    with pytest.raises(FerkitError, match=r"Got no display, expected a place for a window.* --no-window"):
        Window()
