"""Write the ONNX file of a network's weights.

    python tools/export_net.py net.npz net.onnx

It needs TensorFlow (``pip install 'ferkit[train]'``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ferkit.nets.export import to_onnx
from ferkit.nets.weights import load_weights, replace_file

NOTE = (
    "Trained on FER2013 (Goodfellow et al., 2013) and FER+ votes (Barsoum et al., 2016). "
    "The pictures' own terms may limit its use."
)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="net.npz")
    parser.add_argument("onnx", help="file to write")
    parser.add_argument("--note", default=NOTE, help="licence note, kept in the file")
    args = parser.parse_args(argv)
    data = to_onnx(load_weights(args.weights), args.note)
    replace_file(Path(args.onnx), data)
    print(f"Wrote {args.onnx}, {len(data) / 1e6:.1f} MB; it gives the same numbers as Keras.")


if __name__ == "__main__":
    main()
