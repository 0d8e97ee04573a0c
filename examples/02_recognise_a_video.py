"""A drawn clip whose expression changes: one row a face and frame, and the clip with what was read in out/video.mp4."""

from collections import Counter
from pathlib import Path

import cv2

from ferkit import store
from ferkit.draw import draw_readings
from ferkit.errors import PictureError
from ferkit.predict import readings
from ferkit.sources import frames, sample_video

out = Path("out")
out.mkdir(exist_ok=True)
clip = out / "clip.mp4"
sample_video(clip, ["neutral", "happiness", "surprise"], frames_each=15, fps=15, size=320, seed=1)

found: dict[int, list] = {}
for reading in readings([clip], store.load(store.default_path())):
    if isinstance(reading, PictureError):
        raise reading
    found.setdefault(reading.frame, []).append(reading)
print(Counter(reading.label for rows in found.values() for reading in rows))

writer = cv2.VideoWriter(str(out / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15, (320, 320))
for frame in frames(clip):
    writer.write(draw_readings(frame.image, found.get(frame.index, []))[..., ::-1])
writer.release()
