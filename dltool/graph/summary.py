"""Outputs and costs of each layer of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dltool.graph.calls import Call, Shape, calls
from dltool.graph.multiply_adds import multiply_adds
from dltool.graph.receptive_field import Field, receptive_fields


def summary(model: Any, batch_size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row a call of a layer, and totals.

    Args:
        model: a built Sequential or functional model.
        batch_size: examples, for the memory of activations.
    Returns:
        Rows of layer, type, input (numbers of the rows that feed it, 0 for the model's input), output_shape,
        parameters (of a shared layer in its first row), multiply_adds (an example), receptive_field and stride
        (input positions along each spatial axis; of equal axes one number), activation_bytes (a batch's outputs);
        totals of the same, with trainable parameters and the bytes of all weights: as trained, and packed, the kernels
        of binary layers at one bit a weight. None where unknown.
    Raises:
        ValueError: the model's graph is not known.
    """
    found = calls(model)
    rows = [_row(number, call, fields, batch_size) for number, (call, fields) in _numbered(found)]
    totals = {
        "layers": len({id(call.layer) for call in found}),
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "weight_bytes": sum(_weight_bytes(weight) for weight in model.weights),
        "packed_weight_bytes": sum(_weight_bytes(weight) for weight in model.weights) - _saved_by_packing(found),
        "multiply_adds": _total(rows, "multiply_adds"),
        "activation_bytes": _total(rows, "activation_bytes"),
        "batch_size": batch_size,
    }
    return rows, totals


def _numbered(found: Sequence[Call]) -> enumerate[tuple[Call, tuple[Field, ...] | None]]:
    return enumerate(zip(found, receptive_fields(found), strict=True), start=1)


def _row(number: int, call: Call, fields: tuple[Field, ...] | None, batch_size: int) -> dict[str, Any]:
    shape = call.output_shapes[0] if call.output_shapes else ()
    return {
        "number": number,
        "layer": call.path,
        "type": type(call.layer).__name__,
        "inputs": " ".join(str(0 if source is None else source + 1) for source in call.sources),
        "output_shape": " x ".join("?" if size is None else str(size) for size in shape[1:]),
        "parameters": call.layer.count_params() if call.first and hasattr(call.layer, "count_params") else 0,
        "multiply_adds": multiply_adds(call.layer, call.input_shapes, shape) if call.input_shapes else 0,
        "receptive_field": _extent([math.ceil(field.size) for field in fields]) if fields else None,
        "stride": _extent([field.jump for field in fields]) if fields else None,
        "activation_bytes": _bytes(call, batch_size),
    }


def _weight_bytes(weight: Any) -> int:
    return math.prod(weight.shape) * tf.as_dtype(weight.dtype).size


def _saved_by_packing(found: Sequence[Call]) -> int:
    """Bytes less where each kernel takes the bits that its layer says (`kernel_bits`), in whole bytes."""
    binary = [call.layer for call in found if call.first and hasattr(call.layer, "kernel_bits")]
    kernels = [(layer.kernel, layer.kernel_bits) for layer in binary]
    return sum(_weight_bytes(kernel) - math.ceil(math.prod(kernel.shape) * bits / 8) for kernel, bits in kernels)


def _bytes(call: Call, batch_size: int) -> int | None:
    """Memory of the outputs of a batch; None where an axis has no size, or for text."""
    sizes = [_size(shape) for shape in call.output_shapes]
    if None in sizes or "string" in call.output_types:
        return None
    items = [tf.as_dtype(name).size for name in call.output_types]
    return batch_size * sum(size * item for size, item in zip(sizes, items, strict=True))


def _size(shape: Shape) -> int | None:
    return None if None in shape[1:] else math.prod(shape[1:])  # type: ignore[arg-type]


def _extent(sizes: Sequence[float]) -> str:
    """One number for equal axes, else "rows x columns"."""
    texts = [f"{size:g}" for size in sizes]
    return texts[0] if len(set(texts)) == 1 else " x ".join(texts)


def _total(rows: Sequence[dict[str, Any]], column: str) -> int | None:
    """The sum of a column; None if a row's figure is unknown."""
    values = [row[column] for row in rows]
    return None if None in values else sum(values)
