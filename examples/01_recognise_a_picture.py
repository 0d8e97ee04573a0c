"""One picture: find the faces, read the expressions, draw them into out/picture.png."""

from pathlib import Path

import cv2
import skimage.data

from ferkit import store
from ferkit.draw import draw_readings
from ferkit.predict import readings

picture = skimage.data.astronaut()
model = store.load(store.default_path())
found = list(readings([picture], model))
for reading in found:
    print(f"{reading.label} {reading.confidence:.0%} at {reading.box_xyxy}")

out = Path("out")
out.mkdir(exist_ok=True)
cv2.imwrite(str(out / "picture.png"), draw_readings(picture, found)[..., ::-1])
