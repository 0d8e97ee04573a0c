"""The server from a program: a picture to the API, readings to the store, trends and a pandas frame back.

Needs pip install 'ferkit[serve,tables]'.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import ferkit

out = Path("out")
out.mkdir(exist_ok=True)
store = f"sqlite:///{out / 'readings.db'}"
command = [sys.executable, "-m", "ferkit", "serve", "--port", "0", "--store", store]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    try:
        line = server.stdout.readline()
        print(line.strip())
        url = next(word for word in line.split() if word.startswith("http"))
        readings = [
            {"source": "entrance", "label": label, "person": i}
            for i, label in enumerate(["happiness"] * 8 + ["neutral"] * 4)
        ]
        request = urllib.request.Request(
            f"{url}/api/readings", json.dumps(readings).encode(), {"Content-Type": "application/json"}
        )
        print(json.load(urllib.request.urlopen(request)))
        time.sleep(1)  # readings are written every half second
        total = json.load(urllib.request.urlopen(f"{url}/api/trends?step=minute"))["total"]
        print(f"{total['n']} readings, {total['smiles']:.0%} smiles")
    finally:
        server.terminate()
print(ferkit.read_readings(store).label.value_counts())
