"""The squashing function of LeNet-5."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("dltool")
class ScaledTanh(keras.layers.Layer):
    """A scaled hyperbolic tangent: f(a) = amplitude * tanh(slope * a).

    Args:
        amplitude: A, the value of the asymptotes. Defaults to 1.7159, which makes f(1) = 1 and f(-1) = -1.
        slope: S, the slope at the origin over A. Defaults to 2/3.
    Input shape: any.   Output shape: the same, values in (-amplitude, amplitude).
    Raises:
        ValueError: if `amplitude` or `slope` is not positive.
    Reference: LeCun et al., 1998, Gradient-based learning applied to document recognition, eq. 6 and appendix A.
    """

    is_pointwise = True  # for receptive fields
    is_activation = True  # a function of one number alone

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("amplitude", amplitude), ("slope", slope)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"The '{name}' parameter of ScaledTanh must be a number > 0. Got {value!r}.")
        self.amplitude, self.slope = amplitude, slope
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return self.amplitude * keras.ops.tanh(self.slope * inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amplitude": self.amplitude, "slope": self.slope}
