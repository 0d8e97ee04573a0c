"""Write docs/pictures/dashboard.png: the dashboard in Chromium, on made-up readings of a shop's week."""

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from ferkit.serve.readings import columns
from ferkit.serve.trends import ReadingStore

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "dashboard.png"
LABELS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
SHARES = np.array([0.05, 0.01, 0.03, 0.32, 0.08, 0.05, 0.36, 0.10])
CAMERAS = {"cafe": 0.06, "checkout 1": 0.27, "checkout 2": 0.27, "entrance": 0.4}


def fill(target: str, n: int = 30_000) -> None:
    """People come between 7 and 21 o'clock, most at noon; in the cafe they smile more."""
    store, rng = ReadingStore(target, columns(LABELS)), np.random.default_rng(0)
    now, rows, person = time.time(), [], 0
    while len(rows) < n:
        at = now - rng.uniform(0, 7 * 86400)
        hour = at / 3600 % 24
        if not 7 < hour < 21 or rng.random() > 0.3 + 0.7 * np.exp(-(((hour - 13) / 4) ** 2)):
            continue
        person += 1
        camera = str(rng.choice(list(CAMERAS), p=list(CAMERAS.values())))
        shares = SHARES.copy()
        shares[3] *= 1 + 0.5 * np.sin(hour / 24 * 2 * np.pi) + 0.7 * (camera == "cafe")
        names = rng.choice([*LABELS, "not sure"], rng.integers(2, 14), p=shares / shares.sum())
        rows += [{"at": at + i, "person": person, "source": camera, "label": str(x)} for i, x in enumerate(names)]
    store.extend(rows)
    store.close()


def shot(url: str) -> bytes:
    """PNG of the upper part of the page."""
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = browser.new_page(viewport={"width": 1180, "height": 1290})
        page.goto(f"{url}/dashboard")
        page.select_option("#span", "604800")
        page.locator("#status", has_text="by hour").wait_for()
        page.locator("#cameras tr", has_text="cafe").wait_for()
        page.wait_for_timeout(1500)
        data = page.screenshot()
        browser.close()
        return data


with tempfile.TemporaryDirectory() as folder:
    database = f"sqlite:///{folder}/readings.db"
    fill(database)
    command = [sys.executable, "-m", "ferkit", "serve", "--port", "0", "--store", database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        address = re.search(r"http://\S+", server.stdout.readline()).group()
        picture = Image.open(io.BytesIO(shot(address))).convert("RGB")
        server.terminate()
    picture.quantize(128).save(PICTURE, optimize=True)
print(PICTURE, f"{PICTURE.stat().st_size / 1000:.0f} kB")
