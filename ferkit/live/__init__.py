"""Live: steady expressions on a camera, a stream or a video."""

from ferkit.labels import NOT_SURE
from ferkit.live.capture import Capture
from ferkit.live.predictor import LivePredictor
from ferkit.live.recording import Recording
from ferkit.live.records import LiveReading, Moment, columns
from ferkit.live.smoothing import Smoother
from ferkit.live.summary import Summary
from ferkit.live.watching import Watch, watch

__all__ = [
    "NOT_SURE",
    "Capture",
    "LivePredictor",
    "LiveReading",
    "Moment",
    "Recording",
    "Smoother",
    "Summary",
    "Watch",
    "columns",
    "watch",
]
