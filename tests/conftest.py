"""What all tests share: settings that must stand before Keras is imported, and Keras' global state put back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from lean_keras import make_keras_lean

from keras_effnet.startup import import_less

# TensorFlow's own chatter would bury what a failing test has to say.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import_less()
# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the processes that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def share_variable_kernels() -> None:
    """Lets TensorFlow's variables share their kernels: it prepares one for each new name, which takes a millisecond.

    The name only serves TensorFlow's own messages. A network has hundreds of variables, and the tests build thousands
    of networks.
    """
    operations = sys.modules.get("tensorflow.python.ops.gen_resource_variable_ops")
    if operations is None or hasattr(operations.var_handle_op, "with_name"):
        return
    make = operations.var_handle_op

    def nameless(*arguments: Any, debug_name: str = "", **options: Any) -> Any:
        return make(*arguments, **options)

    nameless.with_name = make  # pyright: ignore[reportFunctionMemberAccess]
    operations.var_handle_op = nameless  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Undoes what a test left behind: a dtype policy, an image format, determinism. Does not itself import Keras."""
    share_variable_kernels()
    make_keras_lean()
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.config.disable_traceback_filtering()  # wraps every call of a layer, of which building makes thousands
    yield
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    # Some of TensorFlow's own generators refuse to work once a run has asked for determinism.
    config = sys.modules.get("tensorflow.python.framework.config")
    if config is not None:
        config.disable_op_determinism()
