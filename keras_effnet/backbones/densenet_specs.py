"""DenseNet-121, 169 and 201 (Huang et al. 2017, arXiv:1608.06993, Table 1), as in keras.applications.densenet."""

from __future__ import annotations

from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import DenselyConnected, NormActivation, ResNetStem
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

# The growth rate of Table 1.
_GROWTH = 32


def _densenet(name: str, depths: tuple[int, int, int, int], features: int) -> BackboneSpec:
    # The first stage takes the stem's output as it is; the others compress it and stride first.
    first, *later = depths
    return BackboneSpec(
        name=name,
        stem=StageSpec(ResNetStem(bias=False, pool_name="pool1"), width=64, stride=4),
        stages=(
            StageSpec(DenselyConnected(compression=1), _GROWTH, first),
            *(StageSpec(DenselyConnected(), _GROWTH, depth, stride=2) for depth in later),
        ),
        head=StageSpec(NormActivation(names=("bn", "relu")), width=features),
        resolution=224,
        preprocessing=Preprocessing(mode="torch"),
    )


densenet121_spec = _densenet("densenet121", (6, 12, 24, 16), features=1024)
densenet169_spec = _densenet("densenet169", (6, 12, 32, 32), features=1664)
densenet201_spec = _densenet("densenet201", (6, 12, 48, 32), features=1920)


def _variant(spec: BackboneSpec, keras: str, top1: float, top: str, notop: str) -> Variant:
    """A row, with the MD5 of the weight files: keras-team/keras, applications/densenet.py."""
    base = None if spec is densenet121_spec else "densenet121"
    weights = ImageNetWeights(spec, _file(spec.name, "", top), _file(spec.name, "_notop", notop))
    return Variant(spec, base, keras, timm=spec.name, weights=(weights,), top1=top1, source=KERAS_DOCS)


def _file(name: str, suffix: str, md5: str) -> WeightFile:
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
    return WeightFile(file, f"{KERAS_STORAGE}/densenet/{file}", md5)


VARIANTS = (
    _variant(
        densenet121_spec, "DenseNet121", 75.0, "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"
    ),
    _variant(
        densenet169_spec, "DenseNet169", 76.2, "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"
    ),
    _variant(
        densenet201_spec, "DenseNet201", 77.3, "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"
    ),
)
