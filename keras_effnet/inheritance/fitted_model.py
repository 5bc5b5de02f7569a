"""The largest size of a trained model under limits, with what it has learned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_effnet.cost import opaque_note
from keras_effnet.counting import uncounted
from keras_effnet.deployed.folded_network import deployed_network
from keras_effnet.errors import BudgetError
from keras_effnet.inheritance.embedded_network import known_network
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.scaled_graph import inherit_scaled
from keras_effnet.measures import count
from keras_effnet.peak import device_peak
from keras_effnet.reading.read_model import image_shapes, read_layers
from keras_effnet.scaling.network_budget import fit_network
from keras_effnet.scaling.scaled_network import ScaledNetwork
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)


def fit_model(
    model: keras.Model,
    limits: Mapping[str, float],
    *,
    fit_spec: Callable[..., BackboneSpec],
    engine: str = "keras",
    device: Any = None,
    **options: Any,
) -> keras.Model:
    """Finds the largest size of a model at or under every limit, and builds it with the model's weights.

    Args:
        model: a functional or Sequential model. One that carries its spec, or is a registered backbone, is fitted as
            its spec is; any other is scaled from its graph alone.
        limits: largest value of each measure, by its name in `fit_to_budget`.
        fit_spec: function that fits a spec: `fit_to_budget`.
        engine: as in `fit_to_budget`.
        device: as in `fit_to_budget`; for models with a spec.
        **options: `rule` and `rounding`, as in `fit_to_budget`; for models with a spec also `resolution`.

    Returns:
        The new model. It was not compared with the old one, since it may be smaller. A warning names layers that
        nobody knows the computation of, and that a limit on multiply-adds, activations or memory leaves out.

    Raises:
        BudgetError: as `fit_to_budget`; a limit in milliseconds for a model without a spec.

    Example:
        >>> from keras_effnet import fit_to_budget
        >>> vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> fit_model(vgg, {"params": 3e6}, fit_spec=fit_to_budget).count_params() <= 3e6
        True
    """
    found = known_network(model)
    if found is not None:
        first = keras.config.image_data_format() == "channels_first"
        shape = {"classes": found.embedded.classes, "channels": model.input_shape[1 if first else -1] or 3}
        spec = fit_spec(found.embedded.spec, **limits, **shape, engine=engine, device=device, **options)
        return grow_model(found, spec, exact=False)
    unknown = [name for name in ("latency_ms",) if name in limits] + [
        name for name, value in {"device": device, "resolution": options.pop("resolution", None)}.items() if value
    ]
    if unknown:
        raise BudgetError(
            f"{' and '.join(map(repr, unknown))} need the spec of a network, which this model does not carry: give "
            "limits that are counted, such as macs=300e6.",
            received=f"{model.name!r}",
        )
    read = read_layers(model)
    opaque = uncounted(read.network)
    if opaque and set(limits) - {"params", "model_bytes"}:
        logger.warning("%s is fitted without what some layers compute: %s", model.name, *opaque_note(opaque))

    def meter(scaled: ScaledNetwork) -> Mapping[str, float]:
        found = count(scaled.cost)
        if "peak_bytes" in limits:
            images = (after for _, after in scaled.images)
            found["peak_bytes"] = device_peak(deployed_network(scaled.network), *images).bytes_on(engine)
        return found

    return inherit_scaled(read, fit_network(read.network, image_shapes(read), limits, meter, **options), exact=False)
