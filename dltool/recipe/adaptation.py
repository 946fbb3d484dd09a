"""Layers that take their state from the training data: each is adapted to what the layers before it give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dltool.recipe import feature_columns
from dltool.recipe.builder import Builder
from dltool.recipe.values import Value, object_name

ADAPTED_BY = ("mean", "vocabulary", "bin_boundaries")  # arguments that replace adapt()


def adapt_to(layer: Any, before: Callable[[Any], Any] | None, batches: Callable[[], Any]) -> None:
    """Adapt a layer to what the layers before it make of the data."""
    with _precision_of_variables([layer]):
        layer.adapt(batches() if before is None else batches().map(before))


def adapt_columns(space: Any, batches: Callable[[], Any]) -> None:
    """Adapt a `FeatureSpace`, each of whose columns has a layer of its own."""
    import keras

    policy = keras.config.dtype_policy()
    with _precision_of_variables([layer for layer in space.preprocessors.values() if hasattr(layer, "adapt")]):
        keras.config.set_dtype_policy(policy.variable_dtype)  # layers of its columns may be made as it is adapted
        try:
            feature_columns.adapt(space, batches())
        finally:
            keras.config.set_dtype_policy(policy)


@contextmanager
def _precision_of_variables(layers: Sequence[Any]) -> Iterator[None]:
    """Let layers compute as their variables are kept, float32 under a mixed policy.

    In such a policy's computing precision Keras's `Normalization` would add up bfloat16 means, and fails at it.
    """
    policies = [layer.dtype_policy for layer in layers]
    for layer, policy in zip(layers, policies, strict=True):
        layer.dtype_policy = policy.variable_dtype
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy
            if policy.compute_dtype != policy.variable_dtype and hasattr(layer, "finalize_state"):
                layer.finalize_state()  # what is computed with is cast anew, as when the layer is loaded


def run_adapt(builder: Builder, adapt: Callable[[], None], value: Value, path: str) -> None:
    """Adapt a layer; what TensorFlow raises while it reads the data is left to whoever reads them."""
    import tensorflow as tf

    failures: list[tf.errors.OpError] = []

    def reading() -> None:
        try:
            adapt()
        except tf.errors.OpError as error:
            failures.append(error)

    builder.attempt(reading, value, path)
    builder.finish()
    if failures:
        raise failures[0]


def has_given_state(value: Value) -> bool:
    """Return whether a recipe gives a layer the state that `adapt` would find."""
    body = value.data[object_name(value)] if value.is_mapping else None
    return body is not None and body.is_mapping and any(key in body.data for key in ADAPTED_BY)
