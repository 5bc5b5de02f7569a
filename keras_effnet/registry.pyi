# The types of registry.py, which imports nothing that could use a registry. tests/test_registry.py compares the two.
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from keras_effnet.blocks.base import Block
from keras_effnet.blocks.ends import Classifier
from keras_effnet.ops import Norm
from keras_effnet.scaling.rules import ScalingRule
from keras_effnet.spec import BackboneSpec

T = TypeVar("T")

class Registry(Generic[T]):
    kind: str
    group: str | None
    accepts: Callable[[Any], bool]

    def __init__(
        self,
        kind: str,
        places: Mapping[str, str] | str,
        accepts: Callable[[Any], bool],
        group: str | None = None,
    ) -> None: ...
    def names(self) -> tuple[str, ...]: ...
    def spelled(self, name: str) -> str: ...
    def register(self, name: str, value: T | str) -> None: ...
    def get(self, name: str) -> T: ...

backbones: Registry[BackboneSpec]
rules: Registry[ScalingRule]
blocks: Registry[type[Block]]
classifiers: Registry[type[Classifier]]
norms: Registry[type[Norm]]

def resolve_backbone(spec: Any) -> BackboneSpec: ...
