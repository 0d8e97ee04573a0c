"""The live loop in Python: a drawn clip of two people, numbered and labelled, and the annotated video in out/live.mp4.

Put 0 in place of "sample" for a camera.
"""

from pathlib import Path

from ferkit.live import Recording, Watch
from ferkit.live.drawing import Overlay

out = Path("out")
out.mkdir(exist_ok=True)
session = Watch("sample", max_seconds=3)
overlay = Overlay()
shown: dict[int, str] = {}
with Recording(out / "live.mp4") as recording:
    for moment in session:
        for face in moment:
            if shown.get(face.track) != face.label:
                shown[face.track] = face.label
                print(f"{moment.time:5.2f} s  person {face.track}: {face.label}")
        recording.append(overlay.draw(moment), moment.time)
print(*session.summary.lines(), sep="\n")
