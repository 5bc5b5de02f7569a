"""What all tests share."""

from __future__ import annotations

import os

# TensorFlow's own chatter would bury what a failing test has to say.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
