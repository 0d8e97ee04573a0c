"""Where the face stands in FER2013's crops: the numbers in ``ferkit/faces/framing.py``.

    python benchmarks/framing.py PATH/fer2013.csv.gz [--rows 3000] [--mouth]

Crops of the Training part are enlarged four times. dlib's detector looks for the face; where it finds none, its
landmarks start from the box where it usually finds one. Medians over all faces and over those found are printed, as
fractions of the crop. ``--mouth`` uses the 68-point predictor, which also gives the corners of the mouth.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

import cv2
import dlib
import numpy as np

from ferkit.faces.framing import dlib_box
from ferkit.faces.landmarks import Landmarks, anchors, find_predictor

TIMES, BORDER = 4, 24


def crops(path: Path, rows: int) -> list[np.ndarray]:
    """Every k-th face of the Training part."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        pixels = [row["pixels"] for row in csv.DictReader(file) if row["Usage"] == "Training"]
    return [np.array(text.split(), np.uint8).reshape(48, 48) for text in pixels[:: max(1, len(pixels) // rows)][:rows]]


def measured(crop: np.ndarray, predictor: Landmarks, detector: object) -> tuple[np.ndarray, bool]:
    """Places of a face as fractions of its crop, and whether the detector found it."""
    side = crop.shape[0] * TIMES
    large = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    boxes = detector(large)
    box = dlib_box() * side + BORDER
    if boxes:
        box = [boxes[0].left(), boxes[0].top(), boxes[0].right() + 1, boxes[0].bottom() + 1]
    points = predictor.predict(large, box)
    places = [*anchors(points), *(points[[48, 54]] if len(points) == 68 else [])]
    return (np.array(places) + 0.5 - BORDER) / side, bool(boxes)


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--mouth", action="store_true")
    arguments = parser.parse_args()
    predictor = Landmarks(find_predictor("68" if arguments.mouth else "5"))
    detector = dlib.get_frontal_face_detector()
    rows = [measured(crop, predictor, detector) for crop in crops(arguments.path, arguments.rows)]
    places, found = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    names = ["left eye", "right eye", "nose base", "left mouth corner", "right mouth corner"]
    print(f"{len(rows)} faces, {found.sum()} found by the detector; median x, y over all | over those found")
    for name, everyone, some in zip(names, np.median(places, axis=0), np.median(places[found], axis=0), strict=False):
        print(f"{name:20} {everyone[0]:.3f} {everyone[1]:.3f} | {some[0]:.3f} {some[1]:.3f}")


if __name__ == "__main__":
    main()
