"""Speed of the server, each measured on a server in a process of its own.

    python benchmarks/serve.py                     all of it
    python benchmarks/serve.py live --seconds 30   the live page in Chromium with a clip as its camera
    python benchmarks/serve.py load --clients 16   /api/predict under load: requests a second, delays, memory
    python benchmarks/serve.py trends              the dashboard's answer on 200,000 readings of ten cameras over a week

Figures stand in ``benchmarks/results/serve.md``.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np

from ferkit.live.summary import Quantiles
from ferkit.serve.readings import columns
from ferkit.serve.trends import Query, ReadingStore
from ferkit.sources import draw_face

LABELS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--use-fake-device-for-media-stream"]
FLAGS += ["--use-fake-ui-for-media-stream"]


@contextlib.contextmanager
def served(*words: str) -> Iterator[tuple[str, int]]:
    """Address and process number of a server."""
    command = [sys.executable, "-m", "ferkit", "serve", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield found.group().replace("localhost", "127.0.0.1"), process.pid
        finally:
            process.terminate()


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(float(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def live(seconds: float) -> None:
    """Frames a second and delay from camera to drawn boxes, as the page counts them."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, served() as (url, pid), sync_playwright() as playwright:
        clip = Path(folder, "camera.mjpeg")
        face = draw_face("happiness", size=480, seed=0, face=0.5, yaw=0.0, roll=0.0)
        with clip.open("wb") as file:
            for i in range(60):
                frame = np.full((480, 640, 3), 128, np.uint8)
                left = 80 + round(12 * np.sin(i / 60 * 2 * np.pi))
                frame[:, left : left + 480] = face
                file.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={clip}"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = browser.new_page()
        page.goto(url)
        page.click("#start")
        page.locator("#faces .face").first.wait_for(timeout=60_000)
        rates, delays = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            page.wait_for_timeout(1000)
            rates.append(float(page.inner_text("#fps")))
            delays.append(float(page.inner_text("#delay").split()[0]))
        label = page.locator(".face .what").first.inner_text()
        browser.close()
        print(_head("live page", "frames/s median", "least", "delay ms median", "most", "label", "server MB"))
        cells = [
            f"{np.median(rates[1:]):.1f}",
            f"{min(rates[1:]):.1f}",
            f"{np.median(delays):.0f}",
            f"{max(delays):.0f}",
        ]
        print(f"| one browser, {seconds:.0f} s | {' | '.join(cells)} | {label} | {resident(pid):.0f} |")


def load(clients: int, seconds: float) -> None:
    """Clients that ask again as soon as they have an answer."""
    picture = cv2.imencode(".jpg", draw_face("happiness", size=480, seed=0)[..., ::-1])[1].tobytes()
    with served() as (url, pid):
        times, errors, memory = Quantiles(), [0], []
        count, lock = [0], threading.Lock()
        end = time.monotonic() + seconds

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=60) as client:
                while time.monotonic() < end:
                    begun = time.perf_counter()
                    answer = client.post("/api/predict", files={"file": picture})
                    with lock:
                        times.add((time.perf_counter() - begun) * 1000)
                        errors[0] += answer.status_code != 200
                        count[0] += 1

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(seconds / 6)
            memory.append(resident(pid))
        print(_head("/api/predict", "requests/s", "errors", "ms median", "ms 95 %", "ms 99 %", "MB over time"))
        delays = " | ".join(f"{times.quantile(q):.0f}" for q in (0.5, 0.95, 0.99))
        grown = " ".join(f"{one:.0f}" for one in memory)
        print(f"| {clients} clients, {seconds:.0f} s | {count[0] / seconds:.1f} | {errors[0]} | {delays} | {grown} |")


def trends(n: int) -> None:
    """The store's answer, in this process."""
    rng = np.random.default_rng(0)
    now = time.time()
    with tempfile.TemporaryDirectory() as folder:
        store = ReadingStore(f"sqlite:///{folder}/readings.db", columns(LABELS))
        starts = np.sort(now - rng.uniform(0, 7 * 86400, n // 10))
        names = [*LABELS, "not sure"]
        for first in range(0, len(starts), 1000):
            people = range(first, min(first + 1000, len(starts)))
            store.extend(
                {
                    "at": starts[i] + k,
                    "person": i,
                    "source": f"camera {i % 10}",
                    "label": str(rng.choice(names)),
                    "confidence": 0.6,
                }
                for i in people
                for k in range(10)
            )
        print(_head("readings", "span", "by", "groups", "ms", "ms of processor"))
        for days, step in ((7, "hour"), (7, "day"), (2, "minute")):
            begun, used = time.perf_counter(), time.process_time()
            found = store.trends(Query(now - days * 86400, now, step, "Europe/Berlin"))
            ms, cpu = (time.perf_counter() - begun) * 1000, (time.process_time() - used) * 1000
            print(f"| {n} of 10 cameras | {days} days | {step} | {len(found.groups)} | {ms:.0f} | {cpu:.0f} |")
        store.close()


def _head(*names: str) -> str:
    return "\n| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="live, load, trends; all by default")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--readings", type=int, default=200_000)
    args = parser.parse_args()
    what = args.what or ["live", "load", "trends"]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    if "live" in what:
        live(args.seconds)
    if "load" in what:
        load(args.clients, args.seconds)
    if "trends" in what:
        trends(args.readings)
