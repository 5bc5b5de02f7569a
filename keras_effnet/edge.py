"""`to_edge`: a network in the form that small devices run well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_effnet.errors import SpecError
from keras_effnet.lite import lite_form
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras


def to_edge(network: BackboneSpec | str | keras.Model, *, return_report: bool = False) -> Any:
    """The Lite form of a network: no squeeze-and-excitation, ReLU6, and a stem and a head that scaling leaves alone.

    | given | returned |
    |---|---|
    | a spec or a registered name | the spec of the Lite form; no Keras is imported |
    | a trained model that carries its spec | a model of the Lite form, with all weights that still have a place |

    A trained model needs some more training then: what its gates and activations did is gone.

    Args:
        network: a spec, a name or a model, whose stages hold MBConv, FusedMBConv, InvertedResidual, InvertedResidualV3
            or DepthwiseSeparable blocks.
        return_report: whether to return a `LoadReport` on every weight as well; for models only.

    Returns:
        The Lite form; with `return_report` a pair of it and the report.

    Raises:
        SpecError: a stage holds other blocks, or a report is asked for where there are no weights.
        RegistryError: an unknown name.
        BuildError: the model carries no spec.
        InheritanceError: the model is not what its spec says, or has layers around its network.

    Example:
        >>> from keras_effnet import estimate_cost
        >>> lite = to_edge("efficientnet_b0")
        >>> lite.stages[1].block
        MBConv(kernel=3, expand=6, se_ratio=0, activation='relu6', ...)
        >>> estimate_cost(lite).macs == estimate_cost("efficientnet_lite0").macs
        True
    """
    if not isinstance(network, BackboneSpec | str):
        from keras_effnet.inheritance.edge_model import edge_model

        made, report = edge_model(network)
        return (made, report) if return_report else made
    if return_report:
        raise SpecError(
            "a report tells what became of weights: give a model.", received="return_report=True for a spec"
        )
    return lite_form(resolve_backbone(network))
