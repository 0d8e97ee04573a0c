"""Who is who: faces followed over a video under ids that stay."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from threading import Lock
from weakref import WeakValueDictionary

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # SciPy's optimisers load slowly

from ferkit.faces import framing
from ferkit.live.finder import TURNS, Finder, Found
from ferkit.live.flow import SIDE, follow
from ferkit.live.pose import Pose, overlap

CONFIRM = 0.3
"""Seconds after which the detector is asked again about a face that is followed."""

SEARCH = 0.5
"""Seconds between searches of the whole picture while every known face is followed."""

LATER = 0.2
"""Seconds of the video after which the finds of such a search are taken up; it runs beside the frames until then."""

SEARCH_LOST = 0.1
"""Seconds between searches while a face is lost or none is known; the frame waits for these."""

PATIENCE = 0.4
"""Seconds that a face is shown although nothing confirms that it is still there."""

HOLD = 5.0
"""Seconds that its look alone may confirm it, where the detector does not (a head turned far)."""

KEEP = 2.0
"""Seconds that a lost face is remembered, to get its id back."""

_FOLLOWED = 0.3
"""Share of a face's points that must agree on its movement."""

_ALIKE = 0.6
"""Correlation with its remembered look from which it is that face."""

_UNLIKE = 0.3
"""Correlation below which a face among others is somebody else, or covered."""

_SHARED = 0.35
"""Overlap from which two followed faces are one and the same."""

_CROWDED = 0.02
"""Overlap from which a face may be covered by another, so that nothing is learnt about it."""

_SMALL = 8
"""While nobody is known, one of so many searches looks for small faces too."""

_POOLS: WeakValueDictionary[str, ThreadPoolExecutor] = WeakValueDictionary()
_POOLS_LOCK = Lock()

_LOOK = 24
_FAR = 1e6


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes
    ----------
    id : int
        From 1; never used again for another face.
    pose : Pose
        Where it is, or where it should be while it is lost.
    lost : bool
        Whether it is out of sight.
    velocity : complex
        Pixels a second.
    confirmed, alike : float
        Time at which the detector, or its look, last said that it is there.
    look : ndarray or None
        Its remembered look: a small standardised crop.
    crowded : bool
        Whether another face lies over or beside it.
    doubtful : bool
        Whether it could not be followed into the present frame.
    """

    id: int
    pose: Pose
    confirmed: float
    alike: float
    lost: bool = False
    velocity: complex = 0j
    look: NDArray[np.float32] | None = field(default=None, repr=False)
    crowded: bool = False
    doubtful: bool = False


class Tracker:
    """Follows faces by optical flow, asks the detector about them now and then, and knows them again.

    Parameters
    ----------
    finder : Finder
        Finds faces.
    timed : callable, default=does nothing
        Called as ``timed(name)`` when a stage of the work begins.

    Attributes
    ----------
    tracks : list of Track
        Faces in sight and those lost a short time ago.
    count : int
        Faces met so far.
    """

    def __init__(self, finder: Finder, timed: Callable[[str], None] = lambda stage: None) -> None:
        self.finder = finder
        self.tracks: list[Track] = []
        self.count = 0
        self._timed = timed
        self._before: NDArray[np.uint8] | None = None
        self._time = 0.0
        self._searched = -np.inf
        self._searches = 0
        self._weak: list[Pose] = []
        self._pool: ThreadPoolExecutor | None = None
        self._begun: tuple[Future[list[Found]], list[tuple[Track, Pose]]] | None = None

    def close(self) -> None:
        """Let go of the threads that search, which end when nobody holds them; they begin again with further frames."""
        self._pool = None

    @property
    def seen(self) -> list[Track]:
        """Faces in sight, largest first."""
        return sorted((track for track in self.tracks if not track.lost), key=lambda track: -track.pose.side)

    def update(self, picture: NDArray[np.uint8], time: float, look: bool = True) -> list[Track]:
        """Go on to the next frame.

        Parameters
        ----------
        picture : ndarray of shape (h, w), dtype uint8
            Grey frame; all of one size, or following starts again.
        time : float
            Seconds.
        look : bool, default=True
            Whether the detector may be asked; a face that is lost in this frame, or was found elsewhere by a search
            that ran beside the frames, is looked for anyway.

        Returns
        -------
        list of Track
            Faces in sight, largest first.
        """
        self._timed("follow")
        self._move(picture, max(time - self._time, 1e-3))
        self._time = time
        self._note_crowds()
        self._part(picture)
        self._timed("detect")
        self._confirm(picture, look)
        self._take_up(picture)
        if look and self._search_is_due():
            self._search(picture)
        self.tracks = [track for track in self.tracks if not track.lost or time - _last(track) <= KEEP]
        return self.seen

    def _move(self, picture: NDArray[np.uint8], passed: float) -> None:
        scale = min(1.0, SIDE / min(picture.shape))
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture, np.uint8)
        before, self._before = self._before, small
        followed = self.seen if before is not None and before.shape == small.shape else []
        steps = follow(before, small, [track.pose.scaled(scale) for track in followed]) if before is not None else []
        for track, step in zip(followed, steps, strict=False):
            track.doubtful = step.quality < _FOLLOWED
            if not track.doubtful:
                pose = step.pose.scaled(1 / scale)
                if not track.crowded:
                    speed = (pose.centre - track.pose.centre) / passed
                    track.velocity += min(1.0, passed / 0.15) * (speed - track.velocity)
                track.pose = pose
        for track in self.tracks:
            if track.doubtful or track not in followed:
                track.pose = Pose(track.pose.centre + track.velocity * passed, track.pose.span)
                if not track.crowded:  # one who went behind another comes out on the other side
                    track.velocity *= np.exp(-passed)
                track.doubtful = not track.lost

    def _note_crowds(self) -> None:
        for track in self.tracks:
            track.crowded = False
        for one, other in combinations(self.tracks, 2):
            if overlap(one.pose, other.pose) > _CROWDED:
                one.crowded = other.crowded = True

    def _part(self, picture: NDArray[np.uint8]) -> None:
        """Let go of faces that went behind others.

        Flow would carry them on with the face in front. One that looks like somebody else by now is lost, and of two
        that lie on one face it belongs to the one that looks like it.
        """
        for track in self.seen:
            if track.crowded and self._likeness(picture, track.pose, track) < _UNLIKE:
                track.lost = True
        for one, other in combinations(self.seen, 2):
            if not (one.lost or other.lost) and overlap(one.pose, other.pose) > _SHARED:
                worse = min(one, other, key=lambda track: self._likeness(picture, track.pose, track))
                worse.lost = True

    def _confirm(self, picture: NDArray[np.uint8], look: bool) -> None:
        for track in self.seen:
            due = self._time - track.confirmed >= CONFIRM
            if not (track.doubtful or (look and due)):
                continue
            place = self.finder.near(picture, track.pose)
            if place is None and track.doubtful:
                place = self._tilted(picture, track)
            if place is not None:
                self._place(picture, track, track.pose.towards(place, 0.5 if not track.doubtful else 1.0))
            elif self._likeness(picture, track.pose, track) >= _ALIKE and self._time - track.confirmed < HOLD:
                track.alike, track.doubtful = self._time, False
            elif track.doubtful or self._time - _last(track) > PATIENCE:
                track.lost = True

    def _tilted(self, picture: NDArray[np.uint8], track: Track) -> Pose | None:
        for turn in (TURNS[1], TURNS[3]):
            place = self.finder.near(picture, track.pose, turn)
            if place is not None:
                return place
        return None

    def _place(self, picture: NDArray[np.uint8], track: Track, pose: Pose) -> None:
        """The detector says that the face is here."""
        track.pose = self.finder.aligned(picture, pose)[0]
        track.confirmed = track.alike = self._time
        track.lost = track.doubtful = False
        if not track.crowded or track.look is None:
            look = _look(picture, track.pose)
            track.look = look if track.look is None else _standard(0.8 * track.look + 0.2 * look)

    def _likeness(self, picture: NDArray[np.uint8], pose: Pose, track: Track) -> float:
        """Correlation of what is at a pose with the look of a face."""
        return float(track.look @ _look(picture, pose)) if track.look is not None else 0.0

    @property
    def _calm(self) -> bool:
        return bool(self.tracks) and not any(track.lost for track in self.tracks)

    def _search_is_due(self) -> bool:
        return self._begun is None and self._time - self._searched >= (SEARCH if self._calm else SEARCH_LOST)

    def _search(self, picture: NDArray[np.uint8]) -> None:
        """Look at the whole picture; every other time for heads that are tilted, to one side in turn."""
        self._searched = self._time
        turn = TURNS[self._searches % len(TURNS)]
        small = not self.tracks and self._searches % _SMALL == 2  # the second upright one: the first is to be quick
        self._searches += 1
        if self._calm:  # for someone new, who may come a moment later
            self._pool = pool = self._pool or _shared_pool()
            begun = pool.submit(self.finder.everywhere, picture.copy(), turn)
            self._begun = begun, [(track, track.pose) for track in self.tracks]
        else:
            self._receive(picture, self.finder.everywhere(picture, turn, small))

    def _take_up(self, picture: NDArray[np.uint8]) -> None:
        """Let those enter whom the search of a moment ago found, and confirm whom it found again, where they are now.

        Finds on faces that were confirmed lately say nothing new.
        """
        if self._begun is None or (self._calm and self._time - self._searched < LATER):
            return
        (begun, known), self._begun = self._begun, None
        settled = [pose for track, pose in known if self._time - track.confirmed <= PATIENCE]
        there = [(one, self.finder.near(picture, one.pose)) for one in _apart(begun.result(), settled)]
        self._receive(picture, [Found(pose, one.certain) for one, pose in there if pose is not None])

    def _receive(self, picture: NDArray[np.uint8], found: list[Found]) -> None:
        """Give finds to the known faces, and let the others enter."""
        taken = self._matched(picture, found)
        others = [one for i, one in enumerate(found) if i not in taken]
        self._enter(picture, _apart(others, [track.pose for track in self.seen]))

    def _matched(self, picture: NDArray[np.uint8], found: list[Found]) -> set[int]:
        """Give finds to the known faces that they best belong to, all at once."""
        if not found or not self.tracks:
            return set()
        poses = [self.finder.aligned(picture, one.pose)[0] for one in found]
        costs = np.array([[self._cost(picture, track, pose) for pose in poses] for track in self.tracks])
        taken = set()
        for row, column in zip(*assigned(costs), strict=True):
            if costs[row, column] < _FAR:
                track = self.tracks[row]
                share = 1.0 if track.lost or track.doubtful else 0.5
                self._place(picture, track, track.pose.towards(poses[column], share))
                taken.add(int(column))
        return taken

    def _cost(self, picture: NDArray[np.uint8], track: Track, pose: Pose) -> float:
        """How ill a find suits a face: by distance and by look; ``_FAR`` where it cannot be it."""
        away = abs(pose.centre - track.pose.centre) / max(pose.side, track.pose.side)
        growth = abs(np.log(pose.side / track.pose.side))
        reach = 0.6 if not track.lost else 0.8 + self._time - _last(track)
        if away > reach or growth > 0.5:
            return _FAR
        likeness = self._likeness(picture, pose, track)
        if track.lost and away > 0.5 and likeness < _ALIKE - 0.2:
            return _FAR
        return float(away + growth + (1 - likeness))

    def _enter(self, picture: NDArray[np.uint8], found: list[Found]) -> None:
        """New faces: at once where the detector is certain, else when it says so twice running."""
        weak, self._weak = self._weak, [one.pose for one in found if not one.certain]
        for one in found:
            if one.certain or any(overlap(one.pose, pose) > 0.5 for pose in weak):
                self.count += 1
                track = Track(self.count, one.pose, self._time, self._time)
                self._place(picture, track, one.pose)
                self.tracks.append(track)


def _shared_pool() -> ThreadPoolExecutor:
    """Threads that search for all trackers; they end when no tracker holds them."""
    with _POOLS_LOCK:
        pool = _POOLS.get("search")
        if pool is None:
            _POOLS["search"] = pool = ThreadPoolExecutor(2, "ferkit-search")
        return pool


def _apart(found: list[Found], poses: list[Pose]) -> list[Found]:
    """Finds that lie on none of these faces."""
    return [one for one in found if not any(overlap(one.pose, pose) > 0.25 for pose in poses)]


def assigned(costs: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the assignment of least cost; costs are not negative."""
    rows, columns = min_weight_full_bipartite_matching(csr_array(costs + 1))  # zeros would be taken for missing
    return rows, columns


def _last(track: Track) -> float:
    return max(track.confirmed, track.alike)


def _look(picture: NDArray[np.uint8], pose: Pose) -> NDArray[np.float32]:
    return _standard(framing.crop(picture, pose.matrix, _LOOK).astype(np.float32).ravel())


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without its mean, of length 1, so that a product of two is their correlation."""
    values = values - values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)
