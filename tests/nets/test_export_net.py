"""The tool that writes the network that ships, on the weights that ship."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ferkit
from ferkit.faces import FaceExtractor
from ferkit.features.onnx import OnnxNetwork
from ferkit.nets.weights import load_weights
from ferkit.sources import sample

pytest.importorskip("onnx", reason="exporting networks needs the extra 'train'")
ASSETS = Path(ferkit.__file__).parent / "assets"
OUTPUTS = ["logits", "embedding", "map", "votes"]


@pytest.fixture(scope="module")
def faces():
    return FaceExtractor().fit_transform(sample(70, seed=5).pictures).crops


def test_eight_bits_say_nearly_the_same(tmp_path, monkeypatch, faces, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    import export_net

    try:
        lines = [
            "emotion,pixels,Usage",
            *(f"{i % 7},{' '.join(map(str, face.ravel()))},Training" for i, face in enumerate(faces)),
        ]
        (tmp_path / "faces.csv").write_text("\n".join(lines))
        eight_bit = ["--eight-bit", str(tmp_path / "faces.csv"), "--half", str(tmp_path / "half.npz")]
        for name, more in (("whole", eight_bit), ("float", [])):
            export_net.main([str(ASSETS / "net.npz"), str(tmp_path / f"{name}.onnx"), *more])
    finally:
        sys.modules.pop("export_net", None)
    assert "convolutions in 8 bits" in capsys.readouterr().out
    assert (tmp_path / "half.npz").stat().st_size < 0.6 * sum(
        a.nbytes for a in load_weights(ASSETS / "net.npz").arrays.values()
    )
    whole, float_ = (OnnxNetwork(tmp_path / f"{name}.onnx") for name in ("whole", "float"))
    assert (tmp_path / "whole.onnx").stat().st_size < 0.4 * (tmp_path / "float.onnx").stat().st_size
    assert (whole.labels, whole.labels_of("votes")) == (float_.labels, float_.labels_of("votes"))
    answers = [network.run(faces[..., None].astype(np.float32), OUTPUTS) for network in (whole, float_)]
    for name in OUTPUTS:
        assert np.corrcoef(*(answer[name].ravel() for answer in answers))[0, 1] > 0.98
    same = np.mean(answers[0]["logits"].argmax(1) == answers[1]["logits"].argmax(1))
    assert same >= 0.9
    small = np.repeat(np.repeat(faces[:, ::6, ::6], 5, 1), 5, 2)[..., None].astype(np.float32)
    answers = [network.run(small, ["logits"])["logits"] for network in (whole, float_)]
    assert np.corrcoef(*(answer.ravel() for answer in answers))[0, 1] > 0.97
    pale = (faces * 0.1 + 110)[..., None].astype(np.float32)
    np.testing.assert_allclose(
        whole.run(pale, ["logits"])["logits"],
        whole.run(faces[..., None].astype(np.float32), ["logits"])["logits"],
        atol=0.2,
    )
