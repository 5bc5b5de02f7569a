"""What all tests share: settings that must stand before Keras is imported, and Keras' global state put back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

# TensorFlow's own chatter would bury what a failing test has to say.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the processes that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _shared_variable_kernels() -> None:
    """Lets variables of TensorFlow share their kernels: it would compile one for each name, in a millisecond."""
    from tensorflow.python.ops import gen_resource_variable_ops as operations

    make = operations.var_handle_op
    # The name only serves TensorFlow's own messages.
    operations.var_handle_op = lambda *arguments, debug_name="", **options: make(*arguments, **options)


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Undoes a dtype policy or image format that a failing test left behind. Does not itself import Keras."""
    yield
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
