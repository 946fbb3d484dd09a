"""Monte-Carlo dropout: a model answers with the mean of passes in which its dropout layers draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dltool.training.outputs import BINARY, CrossEntropy, cross_entropy, each


def draw(model: Any, passes: int, seed: int = 0) -> None:
    """Let a compiled model answer with the mean of `passes` passes with dropout; `every_output` then gives the mean.

    p(class) = 1/N sum_n p(class | mask n): the average over drawn subnetworks, of which one pass without dropout is an
    approximation. Outputs that are no probabilities are averaged themselves.

    Args:
        model: compiled. It stays as it is where it is called in another way.
        passes: N, at least 1.
        seed: of the masks. The same seed and batches give the same masks.
    Raises:
        ValueError: the model has no layer that drops out: Dropout, SpatialDropout1D to 3D, GaussianDropout and
            AlphaDropout with a rate above 0, in layers such as MultiHeadAttention too.
    Limits: all other layers are as at inference, batch normalisation and noise too. Arguments `dropout` of
        recurrent layers draw nothing.
    Reference: Srivastava et al., 2014, section 7.5; Gal & Ghahramani, 2016, arXiv:1506.02142, equation 6.
    """
    layers = find_layers(model)
    if not layers:
        raise ValueError("it has no dropout layer whose rate is above 0")
    is_drawing = False

    def with_dropout(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda inputs, training=False, **others: call(inputs, training=training or is_drawing, **others)

    for number, layer in enumerate(layers):
        layer.seed_generator.state.assign([(seed + number) % 2**32, 0])
        layer.call = with_dropout(layer.call)
    answer = getattr(model, "every_output", model)

    def answer_once(*args: Any, **options: Any) -> Any:
        nonlocal is_drawing
        is_drawing = True
        try:
            return answer(*args, **options)
        finally:
            is_drawing = False

    model.every_output = lambda *args, **options: _mean(lambda: answer_once(*args, **options), passes, model)


def find_layers(model: Any) -> list[Any]:
    """Return the layers of a model that drop out something in training."""
    import keras

    from dltool.graph import keras_internals

    kinds = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)
    return [one for one in keras_internals.inner_layers(model) if isinstance(one, kinds) and one.rate > 0]


def _mean(answer: Callable[[], Any], passes: int, model: Any) -> Any:
    """Return the mean of a model's answers, in a graph; a loop between the first and the last keeps memory constant."""
    import tensorflow as tf

    from dltool.graph import keras_internals

    first = answer()
    outputs, reads = tf.nest.flatten(first), _reads(model, first)

    def add(number: Any, totals: Any) -> Any:
        return number + 1, [*map(_add, totals, tf.nest.flatten(answer()), reads)]

    totals = [_add(None, output, read) for output, read in zip(outputs, reads, strict=True)]
    if passes > 1:  # the last is outside: a loss that a layer adds must not be one of the loop's own tensors
        begun = (tf.constant(2), totals)
        _, totals = tf.while_loop(lambda number, _: number < passes, add, begun, parallel_iterations=1)
        totals = [*map(_add, totals, tf.nest.flatten(answer()), reads)]
    means = []
    for output, total, read in zip(outputs, totals, reads, strict=True):
        means.append(tf.cast(_divide(total, passes, read), output.dtype))
        if (mask := keras_internals.mask_of(output)) is not None:
            keras_internals.set_mask(means[-1], mask)
    return tf.nest.pack_sequence_as(first, means)


def _reads(model: Any, outputs: Any) -> list[CrossEntropy | None]:
    """Return how each output's loss reads it, in the order of `tf.nest.flatten`."""
    import tensorflow as tf

    if isinstance(outputs, Mapping):
        of_outputs = {name: cross_entropy(one) for name, one in each(model).items()}
        return [of_outputs[name] for name in sorted(outputs)]  # in which order mappings are flattened
    return [cross_entropy(model)] * len(tf.nest.flatten(outputs))


# Logits are added as ln p by log-sum-exp, of two classes as ln p and ln (1 - p) on a first axis; others as they are.


def _add(total: Any, output: Any, read: CrossEntropy | None) -> Any:
    """Return a total with the output of one more pass; None before the first."""
    import tensorflow as tf

    output = tf.cast(output, tf.float64 if output.dtype == tf.float64 else tf.float32)
    if read is None or not read.from_logits:
        return output if total is None else total + output
    if read.targets == BINARY:
        output = tf.stack([tf.math.log_sigmoid(output), tf.math.log_sigmoid(-output)])
    else:
        output = tf.nn.log_softmax(output)
    return output if total is None else tf.reduce_logsumexp(tf.stack([total, output]), axis=0)


def _divide(total: Any, passes: int, read: CrossEntropy | None) -> Any:
    """Return the output that stands for the mean of `passes` outputs: ln p of classes, ln p/(1 - p) of two."""
    import math

    if read is None or not read.from_logits:
        return total / passes
    return total[0] - total[1] if read.targets == BINARY else total - math.log(passes)
