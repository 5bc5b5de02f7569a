# Written by scripts/catalogue.py; do not edit.
from keras_effnet import applications as applications
from keras_effnet import blocks as blocks
from keras_effnet import data as data
from keras_effnet import errors as errors
from keras_effnet import latency as latency
from keras_effnet import ops as ops
from keras_effnet import registry as registry
from keras_effnet import scaling as scaling
from keras_effnet import search as search
from keras_effnet import testing as testing
from keras_effnet.backbones.timm_specs import timm_spec as timm_spec
from keras_effnet.budget import fit_to_budget as fit_to_budget
from keras_effnet.builder.model import build_model as build_model
from keras_effnet.comparison.compare_networks import compare_networks as compare_networks
from keras_effnet.comparison.compared import Comparison as Comparison
from keras_effnet.comparison.comparison_files import read_comparison as read_comparison
from keras_effnet.comparison.contenders import Contender as Contender
from keras_effnet.comparison.scratch_recipe import ScratchRecipe as ScratchRecipe
from keras_effnet.cost import Cost as Cost
from keras_effnet.cost import estimate_cost as estimate_cost
from keras_effnet.data.augment import Augmentation as Augmentation
from keras_effnet.data.sets import load_data as load_data
from keras_effnet.edge import to_edge as to_edge
from keras_effnet.errors import KerasEffnetError as KerasEffnetError
from keras_effnet.explanation import Explanation as Explanation
from keras_effnet.explanation import explain as explain
from keras_effnet.explorer.explorer_page import write_explorer as write_explorer
from keras_effnet.export.engines import open_exported as open_exported
from keras_effnet.export.explain_int8 import explain_int8 as explain_int8
from keras_effnet.export.exporter import export_model as export_model
from keras_effnet.export.fold import fold_batchnorm as fold_batchnorm
from keras_effnet.export.verify import ExportReport as ExportReport
from keras_effnet.feature_maps import FeatureLevels as FeatureLevels
from keras_effnet.feature_maps import feature_levels as feature_levels
from keras_effnet.finetune.cross_validation import CrossValidation as CrossValidation
from keras_effnet.finetune.job import FinetuneJob as FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions as FinetuneOptions
from keras_effnet.finetune.recipe import Recipe as Recipe
from keras_effnet.inheritance.feature_extractor import feature_extractor as feature_extractor
from keras_effnet.inheritance.grow import grow_model as grow_model
from keras_effnet.inheritance.inheritance_report import InheritanceReport as InheritanceReport
from keras_effnet.inheritance.recalibrate import recalibrate as recalibrate
from keras_effnet.inheritance.scaled_model import scale_model as scale_model
from keras_effnet.layer_table import explain_layers as explain_layers
from keras_effnet.peak import estimate_peak as estimate_peak
from keras_effnet.reading.read_model import read_model as read_model
from keras_effnet.report.explained_prediction import ExplainedPrediction as ExplainedPrediction
from keras_effnet.report.explained_prediction import explain_prediction as explain_prediction
from keras_effnet.scaling import Coefficients as Coefficients
from keras_effnet.scaling import Rounding as Rounding
from keras_effnet.scaling import scale_spec as scale_spec
from keras_effnet.scaling.scale_network import scale_network as scale_network
from keras_effnet.search.searches import search_architecture as search_architecture
from keras_effnet.search.searches import search_coefficients as search_coefficients
from keras_effnet.spec import BackboneSpec as BackboneSpec
from keras_effnet.spec import Preprocessing as Preprocessing
from keras_effnet.spec import StageSpec as StageSpec
from keras_effnet.weights.load import load_weights as load_weights
from keras_effnet.weights.load_report import LoadReport as LoadReport

__version__: str
__all__ = [
    "Augmentation",
    "BackboneSpec",
    "Coefficients",
    "Comparison",
    "Contender",
    "Cost",
    "CrossValidation",
    "ExplainedPrediction",
    "Explanation",
    "ExportReport",
    "FeatureLevels",
    "FinetuneJob",
    "FinetuneOptions",
    "InheritanceReport",
    "KerasEffnetError",
    "LoadReport",
    "Preprocessing",
    "Recipe",
    "Rounding",
    "ScratchRecipe",
    "StageSpec",
    "build_model",
    "compare_networks",
    "estimate_cost",
    "estimate_peak",
    "explain",
    "explain_int8",
    "explain_layers",
    "explain_prediction",
    "export_model",
    "feature_extractor",
    "feature_levels",
    "fit_to_budget",
    "fold_batchnorm",
    "grow_model",
    "load_data",
    "load_weights",
    "open_exported",
    "read_comparison",
    "read_model",
    "recalibrate",
    "scale_model",
    "scale_network",
    "scale_spec",
    "search_architecture",
    "search_coefficients",
    "timm_spec",
    "to_edge",
    "write_explorer",
]
