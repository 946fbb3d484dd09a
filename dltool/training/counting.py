"""Figures of a model by what they count, examples or tokens, however the data fall into batches."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops

from dltool.graph import keras_internals
from dltool.ops.crossentropy import merged
from dltool.training.metric_readings import take_indices

_COUNTS = "_dltool_counts"  # an attribute of a compiled model that counts already


def count(model: Any) -> None:
    """Let loss and metrics of a compiled model weigh what they count; a second call changes nothing.

    Keras weighs the loss of a batch by its examples, although a loss with a mask is the mean over its tokens, and a
    metric weighs tokens by 1 / (padded length of their batch); so these figures depend on the batch size. Here

        loss = sum over batches of n_b * loss_b / sum over batches of n_b,

    with n_b the number of values that loss_b is the mean over: unmasked tokens, examples if each has one value, weights
        if
    the reduction divides by them. A loss with the reduction "sum" is the sum over all batches, and a loss without
    reduction the mean. Penalties of activities, which Keras divides by the examples of a batch, weigh those. Metrics
    see tokens without their padding and without the class that the loss ignores (ignore_class), as examples. The loss
    of several outputs is the weighted sum of their losses, each counted by itself, and penalties.

    Args:
        model: compiled. Saved files stay the same.
    """
    if keras_internals.compiled_loss(model) is None:
        return
    counts = vars(model).get(_COUNTS)
    if counts is None or counts.tracker is not keras_internals.loss_tracker(model):  # compiled anew
        counts = _Counts(model)
        vars(model)[_COUNTS] = counts  # past Keras's tracking
    counts.attach()


class Part(NamedTuple):
    """One loss of a batch: the total of its values, how many they are, and the loss's weight; `is_sum` by reduction."""

    total: Any
    number: Any
    weight: float
    is_sum: bool


def parts_of(model: Any) -> list[Part]:
    """Return the parts of the loss that a model which counts has computed last, in the current graph."""
    parts = []
    for held in keras_internals.flat_losses(keras_internals.compiled_loss(model)):
        loss, weight = held.loss, 1.0 if held.loss_weights is None else float(held.loss_weights)
        value, number = loss.value, loss.number
        is_sum = loss.loss.reduction == "sum"
        total = ops.sum(value) if is_sum or value.shape.rank else value * ops.cast(number, value.dtype)
        parts.append(Part(total, number, weight, is_sum))
    return parts


def same_count(loss: Any) -> Any:
    """Return the Keras loss that a model's own, perhaps counting loss stands for."""
    return loss.loss if isinstance(loss, _CountedLoss) else loss


def reads_indices(loss: Any) -> bool:
    """Return whether a loss takes the classes of its targets as indices, one an example or token."""
    from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy

    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    sparse = (keras.losses.SparseCategoricalCrossentropy, LabelSmoothedCrossentropy)
    return isinstance(loss, sparse) or loss is keras.losses.sparse_categorical_crossentropy


class _Counts:
    """The last counts of a model's losses, and the tracker that weighs by them."""

    def __init__(self, model: Any) -> None:
        self.model, self.tracker = model, keras_internals.loss_tracker(model)
        self.last: _CountedLoss | None = None
        self.outputs: _Outputs | None = None  # of a model that has several
        self.apart = _penalises_activity(model)  # whether penalties need a mean of their own
        self.tracker.update_state = self._update_loss
        if self.apart or _is_sum(model.loss):
            self._keep_apart()
        metrics = keras_internals.compiled_metrics(model)
        if metrics is not None:
            _see_tokens(metrics, getattr(model.loss, "ignore_class", None))

    def attach(self) -> None:
        """Wrap the losses that are there; those that Keras has not made yet, once they are."""
        compiled = keras_internals.compiled_loss(self.model)
        if compiled.built:
            self._wrap(compiled)
        elif "build" not in vars(compiled):
            build = compiled.build

            def build_counted(y_true: Any, y_pred: Any) -> None:
                build(y_true, y_pred)
                self._wrap(compiled)

            compiled.build = build_counted

    def _wrap(self, compiled: Any) -> None:
        counted = [
            held if isinstance(held.loss, _CountedLoss) else held._replace(loss=_CountedLoss(held.loss, self))
            for held in keras_internals.flat_losses(compiled)
        ]
        if any(layer.compute_dtype == "float64" for layer in self.model.layers[-1:]):
            for part in (compiled, *(same_count(held.loss) for held in counted)):
                keras_internals.set_computing_type(part, "float64")  # else float32, which penalties can't be added to
        keras_internals.set_flat_losses(compiled, counted)
        if len(counted) > 1:
            self.outputs = _Outputs(compiled)
            self.tracker.result = self._result_of_outputs

    def _keep_apart(self) -> None:
        tracker = self.tracker
        self.penalties = tracker.add_variable((), "zeros", name="penalties")
        self.examples = tracker.add_variable((), "zeros", name="examples")
        self.apart = True
        reset = tracker.reset_state

        def reset_state() -> None:
            reset()
            self.penalties.assign(0)
            self.examples.assign(0)

        def result() -> Any:
            mean = tracker.total if _is_sum(self.model.loss) else ops.divide_no_nan(tracker.total, tracker.count)
            return mean + ops.divide_no_nan(self.penalties, self.examples)

        tracker.reset_state, tracker.result = reset_state, result

    def _update_loss(self, loss: Any, sample_weight: Any = None) -> None:
        """Update like `keras.metrics.Mean.update_state`, but weigh by the loss's count."""
        if self.outputs is not None:
            self.last = None
            examples = ops.cast(1 if sample_weight is None else sample_weight, "float32")
            self.tracker.total.assign_add((ops.cast(loss, "float32") - self.outputs.last()) * examples)
            self.tracker.count.assign_add(examples)
            return
        last, self.last = self.last, None
        examples = ops.cast(1 if sample_weight is None else sample_weight, "float32")
        number = examples if last is None else last.number
        loss = ops.cast(loss, "float32")
        if loss.shape.rank:  # the reduction is none: one value an example or token
            loss = ops.divide_no_nan(ops.sum(loss), number)
        if self.apart:
            penalty = ops.cast(sum(ops.sum(one) for one in self.model.losses), "float32")
            self.penalties.assign_add(penalty * examples)
            self.examples.assign_add(examples)
            loss -= penalty
        is_sum = _is_sum(self.model.loss)
        self.tracker.total.assign_add(loss if is_sum else loss * number)
        self.tracker.count.assign_add(number)

    def _result_of_outputs(self) -> Any:
        """Return the sum of the outputs' losses and, of the tracker, the mean of all else that was in the loss."""
        assert self.outputs is not None
        return self.outputs.result() + ops.divide_no_nan(self.tracker.total, self.tracker.count)


class _Outputs:
    """The losses of several outputs: each has a tracker of Keras, which now weighs by what that loss counts.

    Args:
        compiled: a built `CompileLoss` whose losses count.
    """

    def __init__(self, compiled: Any) -> None:
        self.parts = [
            (held.loss, 1.0 if held.loss_weights is None else float(held.loss_weights), tracker)
            for held, tracker in zip(keras_internals.flat_losses(compiled), compiled.metrics, strict=True)
        ]
        for loss, _, tracker in self.parts:
            tracker.update_state = functools.partial(_update_part, loss, tracker)

    def last(self) -> Any:
        """Return the weighted sum of the losses of the last batch."""
        return sum(weight * loss.value for loss, weight, _ in self.parts)

    def result(self) -> Any:
        """Return the weighted sum of the losses so far."""
        return sum(weight * tracker.result() for _, weight, tracker in self.parts)


def _update_part(loss: _CountedLoss, tracker: Any, value: Any, sample_weight: Any = None) -> None:
    if loss.loss.reduction == "sum":
        tracker.total.assign_add(ops.cast(value, "float32"))
        tracker.count.assign(1.0)
        return
    value = ops.cast(value, "float32")
    if value.shape.rank:  # the reduction is none: one value an example or token
        value = ops.divide_no_nan(ops.sum(value), loss.number)
    tracker.total.assign_add(value * loss.number)
    tracker.count.assign_add(loss.number)


class _CountedLoss:
    """A loss of Keras that remembers how many values its mean is over."""

    def __init__(self, loss: Any, counts: _Counts) -> None:
        self.loss, self.counts, self.number, self.value = loss, counts, None, None
        self._values: Any = None
        call = loss.call

        def remembering(y_true: Any, y_pred: Any) -> Any:
            self._values = call(y_true, y_pred)
            return self._values

        loss.call = remembering

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        mask = keras_internals.mask_of(y_pred)  # lost where predictions are cast
        found = self.loss(y_true, y_pred, sample_weight)
        values, self._values = self._values, None
        own = keras_internals.mask_of(values)
        mask = own if mask is None else mask if own is None else ops.logical_and(mask, own)
        self.number = _number(values, mask, sample_weight, self.loss.reduction)
        self.counts.last, self.value = self, found
        return found


def _number(values: Any, mask: Any, sample_weight: Any, reduction: str | None) -> Any:
    """Return the number of values that a loss averages, or their total weight: a float32 scalar."""
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weights = ops.cast(sample_weight, "float32")
        if mask is not None:
            mask = ops.cast(mask, "float32")
            weights = ops.expand_dims(weights, -1) if len(weights.shape) < len(mask.shape) else weights
            weights = weights * mask
        return ops.sum(weights)
    if mask is not None:
        return ops.sum(ops.cast(mask, "float32"))
    return tf.cast(tf.size(values), tf.float32)


def _see_tokens(metrics: Any, ignored: int | None) -> None:
    """Let compiled metrics see the tokens of all sequences as examples, those that do not count with a weight of 0.

    Args:
        ignored: the class that the loss leaves out, such as void pixels; metrics leave it out too.
    """
    update = metrics.update_state

    def update_state(y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if not metrics.built:
            metrics.build(y_true, y_pred)
        for metric in metrics.metrics:
            take_indices(metric)
        axes = 0 if tf.nest.is_nested(y_true) or tf.nest.is_nested(y_pred) else _axes_of_tokens(y_true, y_pred)
        if not axes:
            update(y_true, y_pred, sample_weight)
            return
        mask = keras_internals.mask_of(y_pred)
        shape = tf.shape(y_true)[:axes]  # (examples, tokens) or (examples, rows, columns)
        y_true, y_pred = merged(y_true, axes), merged(y_pred, axes)
        held = None if mask is None else ops.cast(ops.reshape(mask, (-1,)), "float32")
        if ignored is not None and _is_integer(y_true) and len(y_true.shape) == 1:
            counts = ops.not_equal(y_true, ignored)
            y_true = ops.where(counts, y_true, ops.zeros_like(y_true))  # a class that metrics know
            held = ops.cast(counts, "float32") * (1.0 if held is None else held)
        weights = held
        if sample_weight is not None:
            weights = _each_token(sample_weight, shape, axes)
            weights = weights if held is None else weights * held
        for listed, weight in zip(keras_internals.flat_metrics(metrics), (held, weights), strict=True):
            for metric in (metric for one in listed if one for metric in one.metrics):
                is_whole = weight is not None and weight is held and "int" in str(metric.dtype)  # as MeanIoU counts
                metric.update_state(y_true, y_pred, ops.cast(weight, "int32") if is_whole else weight)

    metrics.update_state = update_state


def _axes_of_tokens(y_true: Any, y_pred: Any) -> int:
    """Return how many leading axes (examples, tokens) metrics merge; 0 if examples are counted."""
    mask = keras_internals.mask_of(y_pred)
    if mask is not None:
        axes = len(mask.shape)
        return axes if 1 < axes <= min(len(y_true.shape), len(y_pred.shape)) else 0
    sparse = len(y_true.shape) == len(y_pred.shape) - 1 and _is_integer(y_true)
    return len(y_true.shape) if sparse and len(y_true.shape) > 1 else 0


def _is_integer(values: Any) -> bool:
    return "int" in keras.backend.standardize_dtype(values.dtype)


def _each_token(sample_weight: Any, shape: Any, axes: int) -> Any:
    """Return one weight per token, float32 (tokens,), from weights of tokens or of their examples.

    Args:
        shape: of the tokens, (examples, tokens) or (examples, rows, columns).
        axes: how many `shape` has.
    """
    weights = ops.cast(sample_weight, "float32")
    while len(weights.shape) < axes:
        weights = ops.expand_dims(weights, -1)
    return tf.reshape(tf.broadcast_to(weights, shape), [-1])


def _is_sum(loss: Any) -> bool:
    return any(getattr(one, "reduction", None) == "sum" for one in tf.nest.flatten(loss))


def _penalises_activity(model: Any) -> bool:
    """Return whether a layer's outputs, not only its weights, add to the loss."""
    layers = keras_internals.inner_layers(model)
    return any(getattr(layer, "activity_regularizer", None) is not None for layer in layers)
