"""A candidate of a search: what was chosen, the network that follows from it, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from keras_effnet.budget import counted
from keras_effnet.cost import estimate_cost
from keras_effnet.spec import BackboneSpec

Choice = float | int | str | bool
KEY_DIGITS = 12  # of a hash: among a million candidates two share 48 bits with a chance of 0.2 %


@dataclass(frozen=True, eq=False)
class Candidate:
    """One network of a search.

    Args:
        choices: what was chosen, by name: `{"alpha": 1.2, ...}`, `{"stage1.kernel": 5, ...}`; JSON-able.
        spec: the network.
        cost: what it costs, by name: "macs", "params", "activations", "model_bytes", and "latency_ms" where measured.
    """

    choices: Mapping[str, Choice]
    spec: BackboneSpec
    cost: Mapping[str, float]

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits that networks share where they are equal, whatever was chosen."""
        return spec_key(self.spec)

    def to_dict(self) -> dict[str, Any]:
        """The candidate as JSON holds it."""
        spec = json.loads(self.spec.to_json())
        return {"choices": dict(self.choices), "spec": spec, "cost": dict(self.cost)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        """The candidate that `to_dict` wrote."""
        return cls(values["choices"], BackboneSpec.from_json(json.dumps(values["spec"])), values["cost"])


def spec_key(spec: BackboneSpec) -> str:
    """12 hexadecimal digits of what a network is, whatever its name.

    Example:
        >>> from keras_effnet.applications import efficientnet_b0_spec
        >>> spec_key(replace(efficientnet_b0_spec, name="mine")) == spec_key(efficientnet_b0_spec)
        True
    """
    return sha256(replace(spec, name="any").to_json().encode()).hexdigest()[:KEY_DIGITS]


def count_cost(spec: BackboneSpec, *, classes: int, channels: int = 3) -> dict[str, float]:
    """What a network costs, by the names that limits have."""
    return dict(counted(estimate_cost(spec, classes=classes, channels=channels)))
