"""What travels in an exported file: all that a program needs to show it images and to name what it says."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras_effnet
from keras_effnet.errors import ExportError
from keras_effnet.json_text import parse_json
from keras_effnet.resolution import Resize, Resolution
from keras_effnet.tensor_names import file_names

Outputs = Literal["probabilities", "logits", "labels", "numbers", "features", "several"]
CLASSIFYING = ("probabilities", "logits")  # outputs of which the largest one is the answer
METADATA_KEY = "keras_effnet"


@dataclass(frozen=True)
class FileTensor:
    """An input or an output of an exported file.

    Args:
        name: its name, by which arrays are given and returned: its key where the model reads or returns a dict, else
            the name of its layer.
        shape: its shape without the batch, as the model has it; None for a side that is known only when the file runs.
        holds: what it is. An input is an "image" or a vector of "numbers", an output one of the things that
            `ExportMetadata.outputs` may be.
    """

    name: str
    shape: tuple[int | None, ...]
    holds: str


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says about itself.

    Args:
        name: name of the model.
        format: format of the file, such as "litert-int8".
        resolution: side of the images that it takes in pixels, or (height, width); None if it takes any. Of several
            images those of the first; `inputs` has all.
        channels: number of channels of these images.
        pixels: whether it takes pixels from 0 to 255 in RGB and preprocesses them itself; if not, it takes what the
            model took.
        outputs: what it returns: "probabilities" of classes, their "logits", "labels" (a probability for each, by
            itself), "numbers" or "features"; "several" outputs are told one by one in `returns`.
        class_names: one name per class, label or number, in the order of the outputs; None if they are unknown.
        spec: the spec that the model was built from, as a spec file holds it; None if the model carries none.
        version: version of this package that wrote the file.
        thresholds: probability from which an image has each label; None for 0.5, and for other outputs than "labels".
        resize: how images of other proportions are brought to its size, as in `Batches`.
        bits: number of bits that images of 16 bits use; None if there are none, or if it is unknown.
        inputs: its inputs, in the model's order; none in files of versions that wrote one alone.
        returns: its outputs, likewise.
    """

    name: str
    format: str
    resolution: Resolution | None
    channels: int
    pixels: bool
    outputs: Outputs
    class_names: tuple[str, ...] | None = None
    spec: dict[str, Any] | None = None
    version: str = keras_effnet.__version__
    thresholds: tuple[float, ...] | None = None
    resize: Resize = "stretch"
    bits: int | None = None
    inputs: tuple[FileTensor, ...] = ()
    returns: tuple[FileTensor, ...] = ()

    @property
    def file_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the inputs and outputs in the file itself; one output alone is called "output"."""
        returned = ["output"] if len(self.returns) == 1 else [each.name for each in self.returns]
        names = file_names([*(each.name for each in self.inputs), *returned])
        return names[: len(self.inputs)], names[len(self.inputs) :]

    def to_json(self) -> str:
        """The text that stands in the file."""
        return json.dumps(asdict(self), separators=(",", ":"))


def metadata_from_json(text: str, received: str) -> ExportMetadata:
    """Reads the text that `to_json` wrote.

    Args:
        text: the text.
        received: what it was found in, for the message.

    Returns:
        The metadata.

    Raises:
        ExportError: the text is something else.

    Example:
        >>> written = ExportMetadata("net", "onnx", 32, 3, True, "probabilities", ("cat", "dog"))
        >>> metadata_from_json(written.to_json(), "net.onnx") == written
        True
    """
    try:
        content = parse_json(text)
        for name in ("class_names", "thresholds"):
            content[name] = None if content.get(name) is None else tuple(content[name])
        for name in ("inputs", "returns"):
            tensors = content.get(name, ())
            content[name] = tuple(FileTensor(each["name"], tuple(each["shape"]), each["holds"]) for each in tensors)
        if isinstance(content["resolution"], list):
            content["resolution"] = tuple(content["resolution"])
        return ExportMetadata(**content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError(
            "the file's metadata cannot be read: export the model again.",
            received=f"{received}, in which {text!r:.100}",
        ) from error
