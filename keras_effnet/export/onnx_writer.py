"""Nodes and constants of an ONNX graph, each under a name of its own."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import numpy as np


class OnnxValue(NamedTuple):
    """What flows between the nodes.

    Args:
        name: name of the value in the graph.
        sides: height and width of an image, None for one that is known only when the model runs; () for a vector.
    """

    name: str
    sides: tuple[int | None, ...]


class OnnxWriter:
    """Writes nodes and constants.

    Args:
        taken: names that the inputs and outputs of the graph have.

    Attributes:
        nodes: the nodes, in order.
        constants: the constants, by name.
    """

    def __init__(self, taken: set[str]) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._taken = set(taken)

    def node(self, kind: str, name: str, *inputs: OnnxValue | str, **attributes: Any) -> OnnxValue:
        """Writes one node, whose output is as large as its first input.

        Args:
            kind: the operator.
            name: name of the node and its output; with a number behind it where that is taken.
            *inputs: values, and names of constants; "" for an input that is left out.
            **attributes: attributes of the operator.

        Returns:
            Its output.
        """
        made = self._free(name)
        self.write(kind, made, *inputs, **attributes)
        return OnnxValue(made, next((each.sides for each in inputs if isinstance(each, OnnxValue)), ()))

    def write(self, kind: str, name: str, *inputs: OnnxValue | str, **attributes: Any) -> None:
        """Writes one node of exactly this name."""
        from onnx import helper

        read = [each.name if isinstance(each, OnnxValue) else each for each in inputs]
        self.nodes.append(helper.make_node(kind, read, [name], name=name, **attributes))

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Writes a constant, once where a layer that is called again writes the same one.

        Returns:
            Its name: with a number behind it where another constant or node has it.
        """
        from onnx import numpy_helper

        made = numpy_helper.from_array(np.asarray(values, dtype, order="C"), name)
        if self.constants.get(name) == made:
            return name
        made.name = self._free(name)
        self.constants[made.name] = made
        return made.name

    def per_channel(self, name: str, values: Any, x: OnnxValue) -> str:
        """A constant with one number per channel of an image, or of a vector; one number stands for all."""
        shape = (1, -1, *(1 for _ in x.sides))
        return self.constant(f"{name}_values", np.reshape(np.asarray(values, np.float32), shape))

    def _free(self, name: str) -> str:
        numbered = (f"{name}_{number}" for number in count(1))
        made = name if name not in self._taken else next(each for each in numbered if each not in self._taken)
        self._taken.add(made)
        return made
