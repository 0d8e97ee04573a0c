"""Fit the models that ship: python tools/make_default.py fer2013.csv.gz fer2013new.csv [CACHE].

It writes default.ferkit, fast.ferkit, hybrid.ferkit and, from the votes of FER+, ferplus.ferkit to ferkit/assets. The
networks lie beside them in the package, so they are left out of the model files. Features are kept in the folder
CACHE, if given.
"""

import sys
from pathlib import Path

from ferkit import recipe, sources
from ferkit.cli.fit import metrics_of

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    fer2013, ferplus = (sources.load(path) for path in sys.argv[1:3])
    cache = sys.argv[3] if len(sys.argv) > 3 else None
    for name, data in (("default", fer2013), ("fast", fer2013), ("hybrid", fer2013), ("ferplus", ferplus)):
        fitted = recipe.fit(recipe.load(ROOT / "pipelines" / f"{name}.yaml"), data, jobs=2, cache=cache)
        metrics = metrics_of(fitted)
        fitted.save(ROOT / "ferkit" / "assets" / f"{name}.ferkit", metrics, embed_shipped=False)
        if metrics:
            print(f"{name}: accuracy {metrics['accuracy']:.4f}, calibration error {metrics['ece']:.4f}")
