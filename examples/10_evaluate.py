"""A report of the quick model on drawn faces, under stress and by group, in out/report/index.html.

Drawn faces are no people: the figures say nothing about real ones.
"""

from pathlib import Path

from ferkit import load
from ferkit.evaluate import evaluate_dataset, report_of
from ferkit.sources import sample

model = load("fast")
faces = sample(n=140, seed=2)
result = evaluate_dataset(model, faces)
brightness = faces.pictures.mean(axis=(1, 2)).round().astype(int)
groups = {"brightness": ["bright" if level > 128 else "dark" for level in brightness]}
report = report_of(model, faces, result, title="fast on drawn faces", slices=groups)
report = report.with_stress(model, result, rows=7)
page = report.save(Path("out") / "report")

figures = report.analysis.figures
low, high = figures["accuracy_ci"]
print(f"accuracy {figures['accuracy']:.3f} [{low:.3f}, {high:.3f}], ROC area {figures['macro_roc_auc']:.3f}")
print(f"half of the faces answered: accuracy {report.analysis.coverage.at(0.5)[0]:.3f}")
print(f"under stress {report.record()['stress']['relative']:.3f} of the accuracy is kept; page: {page}")
