"""Faces found in photos of one face each, and where their eyes stand in the crops.

    python benchmarks/faces.py PHOTOS [--half 2] [--limit 400] [--boxes]

PHOTOS is a folder of ``Name_0001.jpg``. People are split into two halves by a hash of their name: settings were chosen
on half 1, figures are reported on half 2. Eyes are measured in the finished crop, by the 5-point predictor on the crop
enlarged. ``--boxes`` prints instead how the framing lies about each detector's box (``framing.BOX_MAPS``).
"""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from ferkit.faces import FaceDetector, FaceExtractor, framing
from ferkit.faces.grey import grey
from ferkit.faces.landmarks import anchors
from ferkit.sources import read_image


def half(path: Path) -> int:
    """1 or 2, the same for all photos of a person."""
    return 1 + sha256(path.stem.rsplit("_", 1)[0].encode()).digest()[0] % 2


def eyes(crops: np.ndarray) -> np.ndarray:
    """Both eyes and the nose base in each crop, as fractions of it."""
    again = FaceExtractor(landmarks="5", cropped=True, size=crops.shape[1]).transform(crops)
    return (np.array([anchors(points) for points in again.points]) + 0.5) / crops.shape[1]


def report(pictures: list[np.ndarray], detector: str, landmarks: str) -> None:
    """One line of the table."""
    extractor = FaceExtractor(detector, landmarks, cropped=False)
    found = [extractor.find(picture) for picture in pictures]
    share = np.mean([len(faces) > 0 for faces in found])
    several = np.mean([len(faces) > 1 for faces in found])
    places = eyes(np.concatenate([faces.crops[:1] for faces in found]))[:, :2]
    middle, spread = places.mean(axis=1), (places[:, 1] - places[:, 0])[:, 0]
    ranges = np.subtract(*np.percentile(middle, [75, 25], axis=0))
    print(
        f"| {detector} | {landmarks} | {share:.3f} | {several:.3f} | "
        f"{np.median(middle[:, 0]):.3f}, {np.median(middle[:, 1]):.3f} | {ranges[0]:.3f}, {ranges[1]:.3f} "
        f"| {np.median(spread):.3f} |"
    )


def box_map(pictures: list[np.ndarray], detector: str) -> None:
    """Median shift and side of the framing, in sides of the detector's box.

    Pictures are moved and the search varied at random, because the windows step coarsely and equal pictures would all
    be off by the same step.
    """
    rows, rng = [], np.random.default_rng(0)
    extractor = FaceExtractor(detector, "5", cropped=False)
    for picture in pictures:
        border = int(min(picture.shape) * rng.uniform(0, 0.5))
        left, top = border + rng.integers(0, 40, 2)
        picture = cv2.copyMakeBorder(picture, top, border, left, border, cv2.BORDER_REPLICATE)
        found = FaceDetector(detector, rng.uniform(0.12, 0.3)).detect(picture)
        if not len(found):
            continue
        x1, y1, x2, y2 = found.boxes_xyxy[0]
        points = extractor.landmarks_of(picture, found.boxes_xyxy[0], found.detector)
        (left, top), (right, bottom), _ = anchors(points) + 0.5
        side = (right - left) / (framing.EYES[1][0] - framing.EYES[0][0])
        shift = (
            (left + right) / 2 - (x1 + x2) / 2,
            (top + bottom) / 2 - (framing.EYES[0][1] - 0.5) * side - (y1 + y2) / 2,
        )
        rows.append(np.array([*shift, side]) / (x2 - x1))
    print(detector, len(rows), "right, down, side:", np.round(np.median(rows, axis=0), 3))


def main() -> None:
    """Print the table, or the maps of the boxes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--half", type=int, choices=(1, 2), default=2)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--boxes", action="store_true")
    arguments = parser.parse_args()
    paths = [path for path in sorted(arguments.photos.glob("*.jpg")) if half(path) == arguments.half]
    pictures = [grey(read_image(path)) for path in paths[:: max(1, len(paths) // arguments.limit)]]
    if arguments.boxes:
        for detector in ("dlib", "haar"):
            box_map(pictures, detector)
        return
    print(
        f"{len(pictures)} photos; the framing's eyes have their middle at 0.500, {framing.EYES[0][1]:.3f}, "
        f"{framing.EYES[1][0] - framing.EYES[0][0]:.3f} apart\n"
    )
    print("| detector | landmarks | found | several | middle of the eyes | quartile range | apart |")
    print("|---|---|---|---|---|---|---|")
    for detector in ("auto", "dlib", "haar"):
        for landmarks in ("5", "none"):
            report(pictures, detector, landmarks)


if __name__ == "__main__":
    main()
