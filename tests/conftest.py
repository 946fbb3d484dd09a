"""What all tests share: TensorFlow's environment, and Keras's global state put back after each test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from dltool import backend

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # on a GPU float32 is compared as float32, not as 10 bits of it
backend.load()  # before the tests import Keras: in half the time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of real data where there are none."""
    if os.environ.get("DLTOOL_DATA"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="needs DLTOOL_DATA"))


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Keras's dtype policy, automatic names and random seed are as at the start, whatever a test does."""
    yield
    if "keras" not in sys.modules:
        return
    keras = sys.modules["keras"]
    keras.config.set_dtype_policy("float32")
    keras.utils.clear_session(free_memory=False)
