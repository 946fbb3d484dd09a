"""Keras's private parts: the only module that touches them, so an upgrade of Keras is checked here alone.

Each function says what it relies on; tests/graph/test_keras_internals.py holds each to it. Written for Keras 3.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

# The classes of all ranks: Conv1D, Conv2D and Conv3D are each a Convolution.
CONVOLUTIONS = {
    "Convolution": ("base_conv", "BaseConv"),
    "TransposedConvolution": ("base_conv_transpose", "BaseConvTranspose"),
    "DepthwiseConvolution": ("base_depthwise_conv", "BaseDepthwiseConv"),
    "SeparableConvolution": ("base_separable_conv", "BaseSeparableConv"),
}


def __getattr__(name: str) -> Any:
    """Return a class of `CONVOLUTIONS`. Commands load this module before they set up TensorFlow and Keras."""
    if name not in CONVOLUTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, base = CONVOLUTIONS[name]
    return getattr(importlib.import_module(f"keras.src.layers.convolutional.{module}"), base)


# -- models and layers -------------------------------------------------------------------------------------


def graph_of(layer: Any) -> Any | None:
    """Return the graph of a model (Sequential, functional or keras.Function), None for anything else.

    Relies on `Sequential._functional`, None until it is built, and on `_nodes_by_depth` of every graph.
    """
    import keras

    graph = layer._functional if isinstance(layer, keras.Sequential) else layer
    return graph if hasattr(graph, "_nodes_by_depth") else None


def nodes(graph: Any) -> list[Any]:
    """Return a graph's calls in the order in which it makes them, without its inputs.

    Each has `operation`, `input_tensors`, `outputs` and `arguments`. Relies on `_nodes_by_depth`: depth 0 ends.
    """
    ordered = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
    return [node for node in ordered if not node.is_input]


def node_of(tensor: Any) -> Any:
    """Return the call that gave a symbolic tensor. Relies on `_keras_history` and `_inbound_nodes`."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def rename_tensor(tensor: Any, name: str) -> None:
    """Give a model's input, and the layer that makes it, another name. Relies on `_keras_history`."""
    tensor._keras_history.operation.name = tensor.name = name


def operations(model: Any) -> Sequence[Any] | None:
    """Return the layers and keras.ops nodes of a Sequential or functional model, None for others.

    Relies on `_operations`, which a graph has; of a Sequential, on `_functional`.
    """
    import keras

    graph = graph_of(model) if isinstance(model, keras.Sequential) else model
    return None if graph is None else getattr(graph, "_operations", None)


def inner_layers(layer: Any, recursive: bool = True, include_self: bool = False) -> list[Any]:
    """Return the layers that a layer or model holds, at any depth or its own only. Relies on `_flatten_layers`."""
    return list(layer._flatten_layers(include_self=include_self, recursive=recursive))


def takes_training(layer: Any) -> bool:
    """Return whether a call may be given `training`: layers take it, keras.ops nodes don't.

    Relies on `_call_context_args` of layers.
    """
    return "training" in getattr(layer, "_call_context_args", {})


def is_activation_layer(layer: Any) -> bool:
    """Return whether a layer is an activation alone: ReLU, Softmax, ..., or an own one that says so.

    Relies on where Keras defines those.
    """
    return type(layer).__module__.startswith("keras.src.layers.activations.") or getattr(layer, "is_activation", False)


def attention_projections(layer: Any) -> dict[str, Any]:
    """Return a multi-head attention's EinsumDense layers: query, key, value, output and, if there is one, gate.

    Relies on `_query_dense` and its like in MultiHeadAttention and GroupedQueryAttention.
    """
    names = ("query", "key", "value", "output", "gate")
    found = {name: getattr(layer, f"_{name}_dense", None) for name in names}
    return {name: projection for name, projection in found.items() if projection is not None}


def set_computing_type(part: Any, dtype: str) -> None:
    """Let a loss or metric that is there already compute in another type. Relies on `_dtype_policy` and `_dtype`."""
    import keras

    part._dtype_policy, part._dtype = keras.dtype_policies.get(dtype), dtype


def mask_of(tensor: Any) -> Any | None:
    """Return the mask that Keras has noted on a tensor, None without one. Relies on `_keras_mask`."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> None:
    """Note a mask on a tensor, as layers do. Relies on `_keras_mask`."""
    tensor._keras_mask = mask


# -- what a model is compiled with -------------------------------------------------------------------------


def compiled_loss(model: Any) -> Any:
    """Return the CompileLoss of a compiled model, None without a loss. Relies on `_compile_loss`."""
    return getattr(model, "_compile_loss", None)


def uncompiled_loss(model: Any) -> dict[str, Any]:
    """Return `loss` and `loss_weights` as they were given to `compile`. Relies on `_user_loss` of CompileLoss."""
    compiled = model._compile_loss
    return {"loss": compiled._user_loss, "loss_weights": compiled._user_loss_weights}


def flat_losses(compiled: Any) -> list[Any]:
    """Return the losses of a built CompileLoss: named tuples with `loss`. Relies on `_flat_losses`."""
    return list(compiled._flat_losses)


def set_flat_losses(compiled: Any, losses: Sequence[Any]) -> None:
    """Replace the losses that a CompileLoss computes with; a model is saved with those of `compile` still.

    Relies on `_flat_losses`.
    """
    compiled._flat_losses = list(losses)


def compiled_metrics(model: Any) -> Any:
    """Return the CompileMetrics of a compiled model, None without metrics. Relies on `_compile_metrics`."""
    return getattr(model, "_compile_metrics", None)


def flat_metrics(compiled: Any) -> tuple[list[Any], list[Any]]:
    """Return the lists of metrics and of weighted metrics, or None, of a built CompileMetrics.

    Relies on `_flat_metrics` and `_flat_weighted_metrics`.
    """
    return list(compiled._flat_metrics), list(compiled._flat_weighted_metrics)


def loss_tracker(model: Any) -> Any:
    """Return the metric that means the loss over batches. Relies on `_loss_tracker`."""
    return model._loss_tracker


def compute_loss(model: Any, **arguments: Any) -> Any:
    """Return what `compute_loss` gives, whether or not a model's own takes `training`. Relies on `_compute_loss`."""
    return model._compute_loss(**arguments)


def clear_losses(model: Any) -> None:
    """Forget what the model's layers have added to the loss. Relies on `_clear_losses`."""
    model._clear_losses()


def set_compiled_optimizer(model: Any, optimizer: Any) -> None:
    """Let a model be saved with another optimizer than it was compiled with. Relies on `_compile_config`."""
    model._compile_config.config["optimizer"] = optimizer


def options_of(part: Any) -> dict[str, Any]:
    """Return what a loss or metric that wraps a function calls it with. Relies on `_fn_kwargs`."""
    return dict(getattr(part, "_fn_kwargs", {}))


def settings_of(metric: Any) -> dict[str, Any]:
    """Return a metric's attributes and what it calls its function with, by name.

    Relies on `_fn_kwargs` and on `_from_logits` of AUC, which is given as `from_logits`.
    """
    settings = {**vars(metric), **options_of(metric)}
    return {"from_logits": settings.get("_from_logits"), **settings}


def metric_function(metric: Any) -> Any | None:
    """Return the function that a metric means, None where it is of another kind. Relies on `_fn`."""
    return getattr(metric, "_fn", None)


# -- optimizers and callbacks ------------------------------------------------------------------------------


def inner_optimizer(optimizer: Any) -> Any:
    """Return the optimizer inside a LossScaleOptimizer, any other itself. Relies on `inner_optimizer`, public."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def learning_rate(optimizer: Any) -> Any | None:
    """Return an optimizer's rate as it holds it: a variable or a schedule; None if it has no single one.

    Relies on `_learning_rate`: the property `learning_rate` gives a schedule's value in place of the schedule.
    """
    return getattr(optimizer, "_learning_rate", None)


def set_learning_rate(optimizer: Any, rate: Any) -> None:
    """Let an optimizer read its rate from a variable, a schedule or, for its config, None.

    Relies on `_learning_rate`: the property's setter takes numbers only and forgets the variable of one.
    """
    optimizer._learning_rate = rate


def batch_counter(optimizer: Any) -> Any:
    """Return the variable by which a rate is read: it counts batches, `iterations` counts updates.

    Relies on `_iterations`; they differ under gradient accumulation.
    """
    return inner_optimizer(optimizer)._iterations


def average_pairs(optimizer: Any) -> list[tuple[Any, Any]]:
    """Return (weight, moving average or None) of an optimizer with `use_ema`.

    Relies on `_trainable_variables` and `_model_variables_moving_average`.
    """
    return list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True))


def moments(adam: Any, variable: Any) -> tuple[Any, Any]:
    """Return Adam's first and second moment of a weight. Relies on `_momentums`, `_velocities` and their index."""
    index = slot_index(adam, variable)
    return adam._momentums[index], adam._velocities[index]


def slot_index(optimizer: Any, variable: Any) -> int:
    """Return a weight's place in an optimizer's lists of slots. Relies on `_get_variable_index`."""
    return int(optimizer._get_variable_index(variable))


def direction_of(monitor: str, model: Any) -> str:
    """Return "min" or "max", by which Keras's own callbacks judge a figure of a model.

    Relies on `_set_monitor_op` of EarlyStopping.

    Raises:
        ValueError: Keras does not know.
    """
    import keras

    judge = keras.callbacks.EarlyStopping(monitor=monitor)
    judge.set_model(model)
    judge._set_monitor_op()
    return "min" if bool(judge.monitor_op(1.0, 2.0)) else "max"


def drop_swapped_mark(callback: Any) -> bool:
    """Forget, and return, whether SwapEMAWeights holds averages in the model. Relies on `_ema_weights_in_model`."""
    return bool(vars(callback).pop("_ema_weights_in_model", False))


# -- the process -------------------------------------------------------------------------------------------


def in_stateless_scope() -> bool:
    """Return whether nothing is to have values now, as in `compute_output_spec`. Relies on Keras's scope of it."""
    from keras.src.backend.common import stateless_scope

    return bool(stateless_scope.in_stateless_scope())


def autocast_weights(dtype: str) -> AbstractContextManager[Any]:
    """Return a context in which weights are read in a type. Relies on Keras's AutocastScope."""
    from keras.src.backend.common.variables import AutocastScope

    scope: AbstractContextManager[Any] = AutocastScope(dtype)
    return scope


def cudnn_kernel(name: str) -> Callable[..., Any]:
    """Return the function "lstm" or "gru" by which Keras reaches cuDNN. Relies on `keras.src.backend` holding it."""
    from keras.src import backend

    kernel: Callable[..., Any] = getattr(backend, name)
    return kernel


def set_cudnn_kernel(name: str, kernel: Callable[..., Any]) -> None:
    """Replace the function "lstm" or "gru", which Keras's layers look up at each call, in `keras.src.backend`."""
    from keras.src import backend

    setattr(backend, name, kernel)


def global_seed_generator() -> Any | None:
    """Return the generator that draws without a seed come from, None before the first. Relies on `global_state`."""
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

    return global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any | None) -> None:
    """Put the generator back that draws without a seed come from. Relies on `global_state`."""
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)
