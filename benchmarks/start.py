"""How long a command takes to start: seconds from nothing to finished, each in a new process.

    python benchmarks/start.py photo.jpg

The first run of each warms the disk and is not counted. Without a photo, a drawn face is read.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str], runs: int) -> list[float]:
    """Wall time of each run after the first."""
    found = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    return found[1:]


def drawn(folder: str) -> str:
    """A photo with a drawn face."""
    from ferkit.sources import draw_face
    from ferkit.sources.sheet import save_picture

    path = Path(folder) / "photo.png"
    save_picture(draw_face("happiness", size=400), path)
    return str(path)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", help="a picture with a face")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = options.photo or drawn(folder)
        commands = {
            "python -c pass": ["-c", "pass"],
            "import ferkit": ["-c", "import ferkit"],
            "ferkit --help": ["-m", "ferkit", "--help"],
            "ferkit predict photo.jpg": ["-m", "ferkit", "predict", photo],
        }
        print("| command | median, s | least, s | most, s |\n|---|---|---|---|")
        for name, arguments in commands.items():
            found = seconds([sys.executable, *arguments], options.runs)
            print(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |", flush=True)


if __name__ == "__main__":
    main()
