"""Write the ONNX file of a network's weights.

    python tools/export_net.py net.npz net.onnx
    python tools/export_net.py net.npz net.onnx --eight-bit fer2013.csv.gz --half shipped.npz

It needs the package ``onnx``, no TensorFlow. With ``--eight-bit``, convolutions are computed in whole numbers
of 8 bits (weights of 7, so that older processors do not overflow), a third of the time and a quarter of the size; the
faces of the set's Training part say in which range each map lies. With ``--half``, the weights are written once more
with kernels in 16 bits, and what is exported has these.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ferkit.faces import FaceExtractor
from ferkit.files import write_whole
from ferkit.nets.export import to_onnx
from ferkit.nets.weights import load_weights, save_weights
from ferkit.sources import load

NOTE = (
    "Trained on FER2013 (Goodfellow et al., 2013) and FER+ votes (Barsoum et al., 2016). "
    "The pictures' own terms may limit its use."
)
FACES = 384
BATCH = 32
WHOLE = ("Conv", "Add", "Relu", "AveragePool")
"""What is computed in whole numbers; all up to the first convolution, the gates and the heads are not.

The face's variance is among the first: in 256 steps a pale face would have none.
"""


def eight_bit(data: bytes, faces: np.ndarray) -> bytes:
    """The network with its convolutions in 8 bits, their ranges taken from faces (n, h, w)."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, name) for name in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(data)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        first = next(place for place, node in enumerate(nodes) if node.op_type == "Conv")
        quantize_static(
            prepared,
            target,
            _Batches(faces),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for i, node in enumerate(nodes) if i <= first or node.op_type not in WHOLE],
        )
        return target.read_bytes()


class _Batches:
    """Faces as the quantiser asks for them."""

    def __init__(self, faces: np.ndarray) -> None:
        self.batches: Iterator[np.ndarray] = (faces[i : i + BATCH] for i in range(0, len(faces), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"faces": batch[..., None].astype(np.float32)}


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="net.npz")
    parser.add_argument("onnx", help="file to write")
    parser.add_argument("--eight-bit", metavar="DATA", help="compute in 8 bits; a data set to measure ranges on")
    parser.add_argument("--half", metavar="NPZ", help="write the weights there too, kernels in 16 bits")
    parser.add_argument("--note", default=NOTE, help="licence note, kept in the file")
    args = parser.parse_args(argv)
    weights = load_weights(args.weights)
    if args.half:
        save_weights(weights, args.half, half=True)
        weights = load_weights(args.half)
    data = to_onnx(weights, args.note)
    said = "in 32 bits"
    if args.eight_bit:
        faces = load(args.eight_bit, split="Training").pictures
        few = np.asarray(faces[:: max(1, len(faces) // FACES)][:FACES])
        data = eight_bit(data, FaceExtractor(size=weights.input_size).transform(few).crops)
        said = "convolutions in 8 bits"
    write_whole(args.onnx, data)
    print(f"Wrote {args.onnx}, {len(data) / 1e6:.1f} MB; {said}.")


if __name__ == "__main__":
    main()
