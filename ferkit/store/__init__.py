"""The ``.ferkit`` model file: a zip of a manifest, the fitted pipeline, its networks, and what faces it has seen.

Nothing in it is executed: the pipeline is read by skops after every type in it was found in an explicit list, networks
are ONNX files named by their hash, arrays are plain ``.npy``.
"""

from ferkit.store.container import FORMAT, default_path, model_path
from ferkit.store.model_file import Model, inspect, load, network_file, save
from ferkit.store.trusted import TRUSTED

__all__ = [
    "FORMAT",
    "TRUSTED",
    "Model",
    "default_path",
    "inspect",
    "load",
    "model_path",
    "network_file",
    "save",
]
