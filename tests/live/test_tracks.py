"""Tracks: ids stay through crossing, covering and tilting, and are never used again."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import FPS, clip, face
from scipy.optimize import linear_sum_assignment

from ferkit.errors import InputError
from ferkit.faces import FaceExtractor
from ferkit.faces.grey import grey
from ferkit.live.finder import Finder
from ferkit.live.flow import follow
from ferkit.live.pose import Pose, overlap
from ferkit.live.tracks import Tracker, assigned
from ferkit.sources import frames

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"


@pytest.fixture(scope="module")
def finder():
    return Finder(FaceExtractor())


def tracked(finder, video, every=3):
    """Places of each frame's tracks by id."""
    tracker = Tracker(finder)
    for i, frame in enumerate(video):
        yield {track.id: track.pose for track in tracker.update(grey(frame.image), frame.time, i % every == 0)}


def nearest(poses, centre):
    return min(poses, key=lambda key: abs(poses[key].centre - complex(*centre)))


def test_poses_are_transforms():
    pose = Pose(30 + 40j, 20 * np.exp(0.3j))
    again = Pose.of_matrix(pose.matrix)
    assert again.centre == pytest.approx(pose.centre)
    assert again.span == pytest.approx(pose.span)
    assert pose.matrix @ (30, 40, 1) == pytest.approx([0.5, 0.5])
    assert pose.side == pytest.approx(20)
    assert pose.turn == pytest.approx(np.degrees(0.3))
    assert pose.towards(Pose(40 + 40j, 40 + 0j), 1.0).side == pytest.approx(40)
    assert overlap(pose, pose) == pytest.approx(1)


def test_flow_measures_a_known_movement():
    rng = np.random.default_rng(0)
    before = cv2.GaussianBlur(rng.integers(0, 256, (200, 300), dtype=np.uint8), (0, 0), 2)
    turn = np.exp(1j * np.radians(4)) * 1.03
    shift = 5 - 3j + (100 + 100j) * (1 - turn)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    after = cv2.warpAffine(before, matrix, (300, 200), borderMode=cv2.BORDER_REFLECT)
    start = Pose(100 + 100j, 60 + 0j)
    [step] = follow(before, after, [start])
    assert step.quality > 0.9
    assert abs(step.pose.centre - (105 + 97j)) < 0.3
    assert step.pose.turn == pytest.approx(4, abs=0.5)
    assert step.pose.side == pytest.approx(61.8, abs=0.5)
    [lost] = follow(before, rng.integers(0, 256, (200, 300), dtype=np.uint8), [start])
    assert lost.quality < 0.3
    assert follow(before, after, []) == []


def test_two_faces_that_cross_keep_their_ids(finder):
    one, other = face(1), face(7)

    def places(i):
        x = 130 + 380 * i / 74
        return [(*one, (x, 180)), (*other, (640 - x, 190))]

    seen = list(tracked(finder, clip(75, places)))
    ids = nearest(seen[6], (130 + 31, 180)), nearest(seen[6], (510 - 31, 190))
    assert ids[0] != ids[1]
    assert (nearest(seen[-1], (510, 180)), nearest(seen[-1], (130, 190))) == ids
    assert max(max(poses, default=0) for poses in seen) == 2


def test_a_face_that_is_covered_gets_its_id_back(finder):
    someone, board = face(1), (np.full((230, 230, 3), 120, np.uint8), np.ones((230, 230, 1), np.float32))

    def places(i):
        centre = (200 + 2 * i, 180)
        return [(*someone, centre)] + ([(*board, centre)] if 25 <= i < 45 else [])

    seen = list(tracked(finder, clip(70, places)))
    assert all(set(poses) == {1} for poses in seen[:24])
    assert not any(seen[38:44])
    assert all(set(poses) == {1} for poses in seen[52:])


def test_one_who_comes_later_is_met_while_the_other_is_followed(finder):
    one, other = face(1), face(7)

    def places(i):
        return [(*one, (150, 180))] + ([(*other, (430 + i, 180))] if i >= 20 else [])

    video = list(clip(70, places))
    seen = list(tracked(finder, video))
    assert all(set(poses) == {1} for poses in seen[:20])
    assert all(set(poses) == {1, 2} for poses in seen[-25:])
    assert nearest(seen[-1], (499, 180)) == 2
    again = list(tracked(finder, video))  # whatever the machine is doing
    assert [list(poses) for poses in again] == [list(poses) for poses in seen]


def test_the_searching_thread_ends(finder):
    someone = face(1)
    tracker = Tracker(finder)
    for frame in clip(40, lambda i: [(*someone, (200, 180))]):
        tracker.update(grey(frame.image), frame.time)
    searching = [thread for thread in threading.enumerate() if thread.name.startswith("ferkit-search")]
    assert searching
    tracker.close()
    tracker.close()
    for thread in searching:
        thread.join(5)
        assert not thread.is_alive()
    assert len(tracker.update(grey(frame.image), frame.time + 1)) == 1
    tracker.close()


def test_what_goes_wrong_in_the_searching_thread_is_raised(finder, monkeypatch):
    someone = face(1)
    tracker = Tracker(finder)
    video = list(clip(40, lambda i: [(*someone, (200, 180))]))
    tracker.update(grey(video[0].image), video[0].time)

    def fails(*args):
        raise InputError("no")

    monkeypatch.setattr(finder, "everywhere", fails)

    def go_on():
        for frame in video[1:]:
            tracker.update(grey(frame.image), frame.time)

    with pytest.raises(InputError, match="no"):
        go_on()
    tracker.close()


def test_faces_are_assigned_as_by_scipy():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = rng.integers(1, 6, 2)
        costs = np.where(rng.random(shape) < 0.3, 1e6, rng.random(shape))
        assert costs[assigned(costs)].sum() == pytest.approx(costs[linear_sum_assignment(costs)].sum())


def test_ids_are_not_used_again(finder):
    one, other = face(1), face(7)

    def places(i):
        if i < 20:
            return [(*one, (150, 180))]
        return [(*other, (480, 180))] if i >= 20 + 2.6 * FPS else []

    ids = [set(poses) for poses in tracked(finder, clip(110, places))]
    assert ids[10] == {1}
    assert ids[80] == set()
    assert ids[-1] == {2}


def test_a_head_tilted_from_the_start_is_found(finder):
    picture, mask = face(1)
    turn = cv2.getRotationMatrix2D((115, 115), -55, 1)
    picture, mask = (
        cv2.warpAffine(part, turn, (230, 230), borderMode=cv2.BORDER_REPLICATE) for part in (picture, mask)
    )
    video = list(clip(40, lambda i: [(picture, mask[..., None], (300, 180))]))
    assert finder.everywhere(grey(video[0].image)) == []
    seen = list(tracked(finder, video))
    assert set(seen[-1]) == {1}
    assert seen[-1][1].turn == pytest.approx(55, abs=8)


def test_a_head_tilted_less_is_brought_upright(finder):
    picture, mask = face(1)
    turn = cv2.getRotationMatrix2D((115, 115), -35, 1)
    picture, mask = (
        cv2.warpAffine(part, turn, (230, 230), borderMode=cv2.BORDER_REPLICATE) for part in (picture, mask)
    )
    [frame] = clip(1, lambda i: [(picture, mask[..., None], (300, 180))])
    [found] = finder.everywhere(grey(frame.image))
    pose, points = finder.aligned(grey(frame.image), found.pose)
    assert pose.turn == pytest.approx(35, abs=6)
    assert points.shape == (5, 2)


def test_a_cut_to_another_size_starts_again(finder):
    someone = face(1)
    tracker = Tracker(finder)
    for shape in ((360, 640), (300, 400)):
        for frame in clip(4, lambda i: [(*someone, (200, 180))], shape):
            found = tracker.update(grey(frame.image), frame.time)
        assert len(found) == 1


def video(name):
    if not (VIDEOS / name).exists():
        pytest.skip(f"{name} is not in ../shared/data/video")
    return frames(VIDEOS / name)


@pytest.mark.parametrize("name", ["hungry.mkv", "sorry.mkv"])
def test_one_face_has_one_id(finder, name):
    seen = list(tracked(finder, video(name)))
    assert np.mean([set(poses) == {1} for poses in seen]) >= 0.95


def test_two_tilted_heads_do_not_swap(finder):
    seen = list(tracked(finder, video("head-pose-face-detection-female-and-male.gif")))
    assert np.mean([set(poses) == {1, 2} for poses in seen]) >= 0.95
    left = [nearest(poses, (0, 100)) for poses in seen if len(poses) == 2]
    assert len(set(left)) == 1
