"""The preprocessing that a net of `keras.applications` was trained with."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable("dltool")
class ApplicationPreprocessing(keras.layers.Layer):
    """y = keras.applications.<module of the net>.preprocess_input(x), inside the model.

    For MobileNetV2 y = x / 127.5 - 1; for DenseNet121 y = (x / 255 - mean) / deviation by channel; for ResNet50 the
    channels in the order blue, green, red, minus their means; and so on.

    Args:
        application: the net's name, such as "MobileNetV2".
    Input shape: (batch, rows, columns, 3), red, green, blue, pixels in [0, 255].   Output shape: the same.
    Raises:
        ValueError: no net has this name.
    Limits: a model that holds it opens only where dltool is installed.
    Reference: keras.applications.imagenet_utils.preprocess_input (modes "tf", "torch" and "caffe").
    """

    def __init__(self, application: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        function = getattr(keras.applications, str(application), None)
        if not callable(function):
            raise ValueError(f"there is no net '{application}' in keras.applications.")
        self.application = application
        self._preprocess = sys.modules[function.__module__].preprocess_input

    @property
    def does_nothing(self) -> bool:
        """Return whether the net has its preprocessing inside."""
        ramp = np.linspace(0.0, 255.0, 12, dtype=np.float32).reshape(1, 2, 2, 3)
        return bool(np.array_equal(self._preprocess(ramp.copy()), ramp))

    def call(self, inputs: Any) -> Any:
        return self._preprocess(keras.ops.cast(inputs, self.compute_dtype))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "application": self.application}
