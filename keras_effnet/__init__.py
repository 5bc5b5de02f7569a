"""keras-effnet: any backbone, any size.

Scales any block-spec backbone to any phi and builds it as a plain Keras model. Importing this imports neither keras
nor tensorflow; only what builds or trains does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_effnet.backbones.timm_specs import timm_spec
    from keras_effnet.budget import fit_to_budget
    from keras_effnet.builder.model import build_model
    from keras_effnet.cost import Cost, estimate_cost
    from keras_effnet.data.augment import Augmentation
    from keras_effnet.data.sets import load_data
    from keras_effnet.errors import KerasEffnetError
    from keras_effnet.explanation import Explanation, explain
    from keras_effnet.finetune.job import FinetuneJob
    from keras_effnet.finetune.options import FinetuneOptions
    from keras_effnet.finetune.recipe import Recipe
    from keras_effnet.inheritance.grow import grow_model
    from keras_effnet.inheritance.inheritance_report import InheritanceReport
    from keras_effnet.inheritance.recalibrate import recalibrate
    from keras_effnet.inheritance.scaled_model import scale_model
    from keras_effnet.scaling import Coefficients, Rounding, scale_spec
    from keras_effnet.search.architecture import search_architecture
    from keras_effnet.search.coefficient_search import search_coefficients
    from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec
    from keras_effnet.weights.load import load_weights
    from keras_effnet.weights.load_report import LoadReport

__version__ = "0.1.0"

_HOMES = {
    "Augmentation": "data.augment",
    "BackboneSpec": "spec",
    "Coefficients": "scaling",
    "Cost": "cost",
    "Explanation": "explanation",
    "FinetuneJob": "finetune.job",
    "FinetuneOptions": "finetune.options",
    "InheritanceReport": "inheritance.inheritance_report",
    "KerasEffnetError": "errors",
    "LoadReport": "weights.load_report",
    "Preprocessing": "spec",
    "Recipe": "finetune.recipe",
    "Rounding": "scaling",
    "StageSpec": "spec",
    "build_model": "builder.model",
    "estimate_cost": "cost",
    "explain": "explanation",
    "fit_to_budget": "budget",
    "grow_model": "inheritance.grow",
    "load_data": "data.sets",
    "load_weights": "weights.load",
    "recalibrate": "inheritance.recalibrate",
    "scale_model": "inheritance.scaled_model",
    "scale_spec": "scaling",
    "search_architecture": "search.architecture",
    "search_coefficients": "search.coefficient_search",
    "timm_spec": "backbones.timm_specs",
}

__all__ = [
    "Augmentation",
    "BackboneSpec",
    "Coefficients",
    "Cost",
    "Explanation",
    "FinetuneJob",
    "FinetuneOptions",
    "InheritanceReport",
    "KerasEffnetError",
    "LoadReport",
    "Preprocessing",
    "Recipe",
    "Rounding",
    "StageSpec",
    "build_model",
    "estimate_cost",
    "explain",
    "fit_to_budget",
    "grow_model",
    "load_data",
    "load_weights",
    "recalibrate",
    "scale_model",
    "scale_spec",
    "search_architecture",
    "search_coefficients",
    "timm_spec",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
