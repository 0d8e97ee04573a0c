"""Fit the models that ship: python tools/make_default.py fer2013.csv.gz [CACHE] writes default.ferkit and fast.ferkit.

They go to ferkit/assets. The network lies beside them in the package, so it is left out of the model files.
Features are kept in the folder CACHE, where one is given.
"""

import sys
from pathlib import Path

from ferkit import recipe, sources
from ferkit.cli.fit import metrics_of

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    data, cache = sources.load(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    for name in ("default", "fast"):
        fitted = recipe.fit(recipe.load(ROOT / "pipelines" / f"{name}.yaml"), data, jobs=2, cache=cache)
        metrics = metrics_of(fitted)
        fitted.save(ROOT / "ferkit" / "assets" / f"{name}.ferkit", metrics, embed_shipped=False)
        if metrics:
            print(f"{name}: accuracy {metrics['accuracy']:.4f}, calibration error {metrics['ece']:.4f}")
