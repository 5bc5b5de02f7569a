"""keras-effnet: any backbone, any size.

Scales any block-spec backbone to any phi and builds it as a plain Keras model. Importing this imports neither keras
nor tensorflow; only what builds or trains does. Type checkers and editors read the names in `__init__.pyi`, which
`python scripts/catalogue.py` writes.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# The module of each public name, which is imported when somebody asks for the name.
_HOMES = {
    "Augmentation": "data.augment",
    "BackboneSpec": "spec",
    "Coefficients": "scaling",
    "Comparison": "comparison.compared",
    "Contender": "comparison.contenders",
    "Cost": "cost",
    "CrossValidation": "finetune.cross_validation",
    "ExplainedPrediction": "report.explained_prediction",
    "Explanation": "explanation",
    "FeatureLevels": "feature_maps",
    "FinetuneJob": "finetune.job",
    "FinetuneOptions": "finetune.options",
    "InheritanceReport": "inheritance.inheritance_report",
    "KerasEffnetError": "errors",
    "LoadReport": "weights.load_report",
    "Preprocessing": "spec",
    "Recipe": "finetune.recipe",
    "Rounding": "scaling",
    "ScratchRecipe": "comparison.scratch_recipe",
    "StageSpec": "spec",
    "build_model": "builder.model",
    "compare_networks": "comparison.compare_networks",
    "estimate_cost": "cost",
    "estimate_peak": "peak",
    "explain": "explanation",
    "explain_int8": "export.explain_int8",
    "explain_layers": "layer_table",
    "explain_prediction": "report.explained_prediction",
    "export_model": "export.exporter",
    "ExportReport": "export.verify",
    "open_exported": "export.engines",
    "feature_extractor": "inheritance.feature_extractor",
    "feature_levels": "feature_maps",
    "fold_batchnorm": "export.fold",
    "read_comparison": "comparison.comparison_files",
    "read_model": "reading.read_model",
    "fit_to_budget": "budget",
    "grow_model": "inheritance.grow",
    "load_data": "data.sets",
    "load_weights": "weights.load",
    "recalibrate": "inheritance.recalibrate",
    "scale_model": "inheritance.scaled_model",
    "scale_network": "scaling.scale_network",
    "scale_spec": "scaling",
    "search_architecture": "search.searches",
    "search_coefficients": "search.searches",
    "to_edge": "edge",
    "write_explorer": "explorer.explorer_page",
    "timm_spec": "backbones.timm_specs",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


# Parts of the package that are imported when somebody asks for them: `keras_effnet.applications.ResNet50`.
_PARTS = ("applications", "blocks", "data", "errors", "latency", "ops", "registry", "scaling", "search", "testing")


def _import(name: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        from keras_effnet.extras import as_missing_extra

        raise as_missing_extra(error) or error from None


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(_import(_HOMES[name]), name)
    if name in _PARTS:
        return _import(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PARTS, "__version__"})
