"""Fit the model that ships: python tools/make_default.py fer2013.csv.gz writes ferkit/assets/default.ferkit.

The network's own file lies beside it in the package, so it is left out of the model file.
"""

import sys
from pathlib import Path

from ferkit import recipe, sources
from ferkit.cli.fit import metrics_of

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    fitted = recipe.fit(recipe.load(ROOT / "pipelines" / "fast.yaml"), sources.load(sys.argv[1]))
    metrics = metrics_of(fitted)
    fitted.save(ROOT / "ferkit" / "assets" / "default.ferkit", metrics, embed_shipped=False)
    if metrics:
        print(f"accuracy {metrics['accuracy']:.4f}, calibration error {metrics['ece']:.4f}")
