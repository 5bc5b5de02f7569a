"""Files of random weights in timm's layout, written from a spec."""

from __future__ import annotations

from pathlib import Path

from random_tensors import CLASSES, random_tensors
from safetensors.numpy import save_file

from keras_effnet import BackboneSpec
from keras_effnet.ops import Conv, Dense, Depthwise
from keras_effnet.trace import TracedNode, trace_network
from keras_effnet.weights.named import tensor_places
from keras_effnet.weights.timm_weights import TIMM
from keras_effnet.windows import both


def torch_shapes(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    """The names of a network's tensors in timm, with PyTorch's shapes, told from the spec."""
    kernels = {
        node.name: _kernel_shape(node) for node in trace_network(spec, classes=CLASSES).nodes if node.has_weights
    }
    places = tensor_places(spec, TIMM, include_top=True)
    return {name: kernels[node.name][: 4 if index == 0 else 1] for name, (node, index) in places.items()}


def _kernel_shape(node: TracedNode) -> tuple[int, ...]:
    width, read = node.output.channels, node.inputs[0].channels
    match node.op:
        case Depthwise(kernel=kernel):
            return (width, 1, *both(kernel))
        case Conv(kernel=kernel, groups=groups):
            return (width, read // groups, *both(kernel))
        case Dense():
            return (width, read)
    return (width,)


def written(spec: BackboneSpec, gain: float, path: Path) -> Path:
    """A file of random weights in timm's layout, with the counts of batches that PyTorch adds."""
    shapes = torch_shapes(spec)
    counters = {name.replace("running_var", "num_batches_tracked"): () for name in shapes if "running_var" in name}
    save_file(random_tensors({**shapes, **counters}, gain), path)
    return path
