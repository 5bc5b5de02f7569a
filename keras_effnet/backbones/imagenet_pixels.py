"""Preprocessing that several families share: the model takes pixels from 0 to 255 and does the rest itself."""

from keras_effnet.spec import Preprocessing

# Means and standard deviations of ImageNet's channels (red, green, blue), for pixels from 0 to 1: keras-team/keras,
# applications/efficientnet_v2.py; tensorflow/tpu, models/official/mnasnet/imagenet_input.py.
IMAGENET_PIXELS = Preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), variance=(0.229**2, 0.224**2, 0.225**2))

# (x - 127) / 128: "inception-style [...] for better post-quantization", tensorflow/tpu,
# models/official/efficientnet/lite/efficientnet_lite_builder.py; edgetpu/efficientnet_edgetpu_builder.py.
EDGE_PIXELS = Preprocessing(scale=1 / 128, offset=-127 / 128)
