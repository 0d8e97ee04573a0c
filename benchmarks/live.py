"""Speed and steadiness of the live loop.

    python benchmarks/live.py [VIDEO ...]            # tables
    python benchmarks/live.py --soak 600 [VIDEO]     # one clip over and over: memory, threads

Without a video the frames are 640x480 with 1 and 4 drawn faces that sway. Stages are milliseconds a frame, decoding
left out; the last table runs the command itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from ferkit import store
from ferkit.live import LivePredictor, Recording, Watch
from ferkit.live.predictor import EVERY
from ferkit.live.summary import Quantiles
from ferkit.records import Frame
from ferkit.sources import draw_face, frames

STAGES = ("grey", "follow", "detect", "align", "model", "smooth")


def drawn(faces: int, n: int = 300) -> list[Frame]:
    """640x480 frames with faces side by side on one ground, all swaying."""
    side = 480 if faces == 1 else 240
    people = [draw_face("happiness", size=side, seed=seed, face=0.5, yaw=0.0, roll=0.0) for seed in range(faces)]
    still = np.full((480, 640, 3), 128, np.uint8)
    for i, person in enumerate(people):
        top, left = (0, 80) if faces == 1 else (240 * (i // 2), 60 + 280 * (i % 2))
        still[top : top + side, left : left + side] = person
    moves = [round(12 * np.sin(i / 10)) for i in range(n)]
    return [Frame(np.roll(still, move, axis=1), "drawn", i, i / 30) for i, move in enumerate(moves)]


def stages(video: list[Frame], name: str, every: int, model: store.Model) -> str:
    """One row: pace, delay and where the time goes."""
    predictor, times, readings = LivePredictor(model, every), Quantiles(), 0
    predictor.warm_up()
    start = time.perf_counter()
    for frame in video:
        begun = time.perf_counter()
        readings += len(predictor.read(frame))
        times.add((time.perf_counter() - begun) * 1000)
    rate = len(video) / (time.perf_counter() - start)
    spent = [f"{predictor.stages.seconds.get(stage, 0) / len(video) * 1000:.2f}" for stage in STAGES]
    cells = [name, every, f"{rate:.0f}", *(f"{times.quantile(q):.1f}" for q in (0.5, 0.95))]
    return _row([*cells, *spent, f"{predictor.fresh}/{readings}"])


def flicker(path: Path, every: int, model: store.Model) -> str:
    """One row: changes of the label a minute of each face, with and without smoothing."""
    session = Watch(path, model, every=every)
    for _ in session:
        pass
    about = session.summary.as_dict()
    minutes = max(about["face_seconds"], 1e-9) / 60
    rates = [f"{about[name] / minutes:.0f}" for name in ("raw_label_changes", "label_changes")]
    share = about["frames_with_face"] / about["frames"]
    return _row([path.name, every, f"{share:.3f}", about["tracks"], *rates])


def command(source: str, every: int) -> str:
    """One row: the whole command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "summary.json")
        line = ["live", "--source", source, "--no-window", "--every", str(every), "--json", str(out)]
        start = time.perf_counter()
        megabytes = peak(subprocess.Popen([sys.executable, "-m", "ferkit", *line], stdout=subprocess.DEVNULL))
        whole = time.perf_counter() - start
        about = json.loads(out.read_text())
    cells = [Path(source).name, every, f"{about['frames_per_second']:.0f}", f"{about['latency_ms_median']:.1f}"]
    fresh = f"{about['fresh_readings']}/{about['readings']}"
    return _row([*cells, f"{about['first_reading_s']:.2f}", f"{whole:.2f}", f"{megabytes:.0f}", fresh])


def peak(running: subprocess.Popen[bytes]) -> float:
    """Most megabytes that a process ever held; waits for its end."""
    most = 0.0
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/status").read_text()
        most = next((float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), most)
        time.sleep(0.02)
    if running.returncode:
        raise SystemExit(f"Got exit code {running.returncode} from the command, expected 0.")
    return most


def soak(seconds: float, video: list[Frame], model: store.Model) -> None:
    """One clip over and over at the pace of a camera; memory at ten moments."""

    def looping() -> Iterator[Frame]:
        for _ in count():
            for frame in video:
                time.sleep(1 / 30)
                yield replace(frame, time=None)

    start, shown = time.monotonic(), 0
    session = Watch(0, model, opener=looping, max_seconds=seconds)
    print("| seconds | frames | dropped | people | resident MB | threads |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Recording(Path(folder, "soak.mp4"), quality=20) as recording:
        for moment in session:
            recording.append(moment.frame.image[::4, ::4], moment.time)
            if time.monotonic() - start >= shown * seconds / 10:
                shown += 1
                cells = [f"{time.monotonic() - start:.0f}", session.summary.frames, moment.dropped]
                print(_row([*cells, session.summary.tracks, f"{resident():.0f}", threading.active_count()]), flush=True)
    print(f"threads at the end: {threading.active_count()}")


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _row(cells: list[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _head(*names: str) -> None:
    print("\n" + _row(list(names)) + "\n|" + "---|" * len(names))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    args = parser.parse_args()
    shipped = store.load()
    clips = {path.name: list(frames(path)) for path in args.videos} or {f"{n} drawn": drawn(n) for n in (1, 4)}
    if args.soak:
        soak(args.soak, next(iter(clips.values())), shipped)
        sys.exit()
    _head("frames", "every", "frames/s", "ms median", "ms 95 %", *STAGES, "fresh")
    for name, video in clips.items():
        for every in (EVERY, 1):
            print(stages(video, name, every, shipped))
    if args.videos:
        _head("video", "every", "with a face", "people", "changes/min raw", "changes/min smoothed")
        for path in args.videos:
            for every in (EVERY, 1):
                print(flicker(path, every, shipped))
    _head("command on", "every", "frames/s", "ms median", "first reading s", "whole s", "peak MB", "fresh")
    for source in map(str, args.videos or ["sample"]):
        for every in (EVERY, 1):
            print(command(source, every))
