"""Why a face got its label, as the API gives it."""

from __future__ import annotations

import base64
from functools import cached_property

from pydantic import BaseModel, Field

from ferkit.errors import InputError
from ferkit.explain import Explainer, figure
from ferkit.figures import figure_bytes
from ferkit.serve.problems import Problem
from ferkit.serve.recognise import Recogniser, decode

_DPI = 100


class Why(BaseModel):
    """What spoke for and against an expression. Numbers are log-odds against the mean of all expressions."""

    model: str
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the picture")
    label: str = Field(description="The expression that is explained")
    against: str = Field(description="The one that it is compared with")
    probabilities: dict[str, float]
    log_odds: dict[str, float] = Field(description="`bias` and all `contributions` together")
    bias: dict[str, float] = Field(description="What the model says before it sees the face")
    contributions: dict[str, dict[str, float]] = Field(description="By family of features and expression")
    methods: dict[str, str] = Field(description="How each family's evidence was found")
    map: list[list[float]] = Field(description="Evidence for `label` by pixel of the cut-out face, row by row")
    occlusion: list[list[float]] = Field(description="What `label` loses when the place is covered")
    picture: str | None = Field(default=None, description="Base64 of a PNG, where `picture` was asked for")


class Explaining:
    """Explains faces with the server's model, one at a time.

    Parameters
    ----------
    recogniser : Recogniser
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    @cached_property
    def explainer(self) -> Explainer:
        """Made with the first question."""
        return Explainer(self.recogniser.model)

    def why(self, data: bytes, number: int, label: str | None, against: str | None, draw: bool) -> Why:
        """Explanation of a face in the bytes of a picture file.

        Parameters
        ----------
        data : bytes
        number : int
            Which face: its place among those of ``Recogniser.read``, from 0.
        label, against : str or None
            As for ``Explainer.explain``.
        draw : bool
            Draw it too.

        Raises
        ------
        Problem
            422 for a face or a label that is not there; as ``decode`` for what is no picture.
        """
        limits = self.recogniser.limits
        image = decode(data, limits.pixels, limits.scans)
        faces = self.recogniser.find(image)
        if number >= len(faces):
            raise Problem(422, "no_such_face", f"Got face={number}, expected one of the {len(faces)} found, from 0.")
        try:
            one = self.explainer.explain(faces[number], label, against)[0]
        except InputError as error:
            raise Problem(422, "invalid", str(error)) from error
        x1, y1, x2, y2 = (round(float(v), 1) for v in faces.boxes_xyxy[number])
        box = (x1, y1, x2, y2)
        drawn = figure_bytes(figure(one, image, box), dpi=_DPI) if draw else None
        said = {name: value for name, value in one.as_dict().items() if name in Why.model_fields}
        picture = None if drawn is None else base64.b64encode(drawn).decode()
        return Why(model=self.recogniser.name, box=box, picture=picture, **said)
