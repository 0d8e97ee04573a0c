"""Why this expression: numbers by family, a picture in out/why.png, and a test whether the explanation is true."""

from pathlib import Path

from ferkit import Explainer
from ferkit.explain import deletion_curve, figure
from ferkit.records import Faces
from ferkit.sources import sample

out = Path("out")
out.mkdir(exist_ok=True)
people = sample(n=7, seed=5)
faces = Faces(people.pictures)
explainer = Explainer()
why = explainer.explain(faces[3], source="a drawn smile")[0]
print(f"{why.label} rather than {why.against}:")
for name, value in why.waterfall().items():
    print(f"  {name}: {value:+.2f} log-odds")
figure(why).savefig(out / "why.png")

asked = [explainer.direction(label) for label in people.labels]
maps = explainer.evidence(faces, asked)["cnn"].maps
curves = deletion_curve(explainer, faces, maps, asked, orders=2)
print("share covered, log-odds with the strongest first, at random:")
for share, value, chance in zip(curves.shares, curves.values.mean(axis=0), curves.chance.mean(axis=0), strict=True):
    print(f"  {share:4.0%}  {value:+.2f}  {chance:+.2f}")
