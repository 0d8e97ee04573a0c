"""Small Keras networks: built, trained, exported. The only folder that knows TensorFlow."""

from ferkit.nets.classifier import NetworkClassifier

__all__ = ["NetworkClassifier"]
