"""Knowledge distillation: a model learns from another's outputs in addition to the targets."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.formats import saved_models
from dltool.data.pipelines.base import Pipeline
from dltool.graph import keras_internals
from dltool.library.applications._auxiliary import DeeplySupervised
from dltool.library.applications._committee import CommitteeModel
from dltool.training.procedures.gradient_descent import GradientDescent

MODEL, FACTS = "model.keras", "data.json"  # in a run directory
SMALLEST = 1e-37  # a probability that float32 still holds: log p is exact down to there, where 1e-7 would cut it off
LEARNED_FROM = "teacher"  # read by recipe/declarations.py


class Distill(GradientDescent):
    """Gradient descent on the targets and on the softened outputs of a trained teacher:

        loss = w * student_loss + (1 - w) * distillation_loss,  w = student_loss_weight
        distillation_loss = T^2 * KL(softmax(teacher / T) || softmax(student / T)),  T = temperature

    averaged over the batch (by class weights, if given), teacher and student being logits; for a model that
    ends in a softmax, its logarithm, which is logits up to a constant. T^2 keeps the gradients of both parts of one
    size whatever the temperature. Penalties of the student's weights count in full.

    The teacher is used at inference and stays unchanged; it sees the same augmented images as the student, and
    prepares them by its own layers. Validation, metrics and the saved student know nothing of it: their loss is the
    recipe's. The history has both parts, `student_loss` (with penalties) and `distillation_loss`.

    Args:
        teacher: a run directory or a .keras file, relative to where dltool runs, or a `keras.Model`; for a committee
            (`MultiColumn`) the average teaches.
        temperature: T, number > 0. Defaults to 3, as `keras.distillation.LogitsDistillation`. The paper found 2.5 to 4
            best for small students, and anything above 8 alike for large ones.
        student_loss_weight: w, a fraction in [0, 1]. Defaults to 0.5, as `keras.distillation.Distiller`; the paper
            recommends "a considerably lower weight".
    Raises:
        ValueError: an argument is out of range, or (in `prepare`) the teacher does not fit the student, or the loss is
            no average over the batch.
    Limits: only classifiers with one output per class. The teacher's outputs are recomputed at every step, not stored.
    Reference: Hinton, Vinyals & Dean, 2015, Distilling the knowledge in a neural network, arXiv:1503.02531, section 2,
        eq. 1 (the gradient: eq. 2); lecture slide 118.
    """

    def __init__(self, teacher: Any, temperature: float = 3.0, student_loss_weight: float = 0.5) -> None:
        if not isinstance(teacher, str | Path | keras.Model):
            raise ValueError(f"The 'teacher' parameter of Distill must be a run directory or file. Got {teacher!r}.")
        if not _is_number(temperature) or not 0 < temperature < math.inf:
            raise ValueError(f"The 'temperature' parameter of Distill must be a number > 0. Got {temperature!r}.")
        if not _is_number(student_loss_weight) or not 0 <= student_loss_weight <= 1:
            message = "The 'student_loss_weight' parameter of Distill must be a fraction in [0, 1]."
            raise ValueError(f"{message} Got {student_loss_weight!r}.")
        self.teacher, self.temperature, self.student_loss_weight = teacher, temperature, student_loss_weight
        self._student: Any = None
        self._source = ""  # the teacher's file and its digest

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int = 1,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Open the teacher, check that it fits, and let the model's training loss be the one above.

        Args:
            steps_per_epoch: not needed.
            load, class_names: as of `GradientDescent.prepare`.
        Raises:
            ValueError: inputs, outputs or classes do not fit.
        """
        if self._student is model:
            return
        if any(getattr(one, "reduction", None) in ("sum", "none") for one in tf.nest.flatten(model.loss)):
            raise ValueError(
                "the teacher's part is an average over the batch, as the loss must be: leave out reduction"
            )
        teacher = self.teacher
        if isinstance(teacher, str | Path):
            path = Path(teacher).expanduser()
            file = path / MODEL if path.is_dir() else path
            teacher = saved_models.load(file) if load is None else load(path)
            self._source = f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.absolute()}"
            _check_classes(file.parent / FACTS, class_names)
        check_fit(teacher, model)
        self.models = (teacher,)
        self.metrics = [keras.metrics.Mean(name=name) for name in ("student_loss", "distillation_loss")]
        self._student = model
        model.compute_loss = self._with_teacher(model, teacher)

    def fit(self, model: Any, train: Pipeline, validation: Pipeline | None = None, **settings: Any) -> Any:
        """Fit as `GradientDescent.fit` does."""
        self.prepare(model)
        return super().fit(model, train, validation, **settings)

    def own_arrays(self) -> dict[str, np.ndarray]:
        return {**super().own_arrays(), "teacher": np.frombuffer(self._source.encode(), np.uint8)}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().go_on(arrays)
        before, _, file = arrays.get("teacher", np.empty(0, np.uint8)).tobytes().decode().partition(" ")
        now, _, same = self._source.partition(" ")
        if file == same and before != now:
            raise ValueError(
                f"the teacher {file} has changed since (its SHA-256 began with {before[:12]}, begins with {now[:12]}); "
                "put the old one back"
            )

    def _with_teacher(self, model: Any, teacher: Any) -> Callable[..., Any]:
        """Return the model's `compute_loss` plus the teacher's part in training. Evaluation keeps the model's own."""
        compute_loss = model.compute_loss
        of_teacher, of_student = logits_of(teacher), logits_of(model)
        weight = self.student_loss_weight

        @functools.wraps(compute_loss)
        def distilled(
            x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            student_loss = compute_loss(x, y, y_pred, sample_weight, training=training)
            if not training:
                return student_loss
            taught = tf.stop_gradient(of_teacher(teacher(x, training=False)))
            losses = distillation_losses(taught, of_student(y_pred), self.temperature)  # (batch,)
            losses = losses if sample_weight is None else losses * tf.cast(sample_weight, losses.dtype)
            distillation_loss = tf.reduce_mean(losses)
            for metric, value in zip(self.metrics, (student_loss, distillation_loss), strict=True):
                metric.update_state(value, sample_weight=tf.shape(losses)[0])
            penalties = sum(tf.reduce_sum(tf.cast(penalty, losses.dtype)) for penalty in model.losses)
            return weight * student_loss + (1 - weight) * (distillation_loss + penalties)

        return distilled


def distillation_losses(teacher: Any, student: Any, temperature: float) -> Any:
    """T^2 * sum_i p_i (log p_i - log q_i), p = softmax(teacher / T), q = softmax(student / T).

    Args:
        teacher, student: logits, float32 (batch, classes).
        temperature: T > 0.
    Returns:
        float32 (batch,), >= 0, in nats; its gradient at the student's logits is T (q - p).
    """
    log_p = tf.nn.log_softmax(teacher / temperature)
    log_q = tf.nn.log_softmax(student / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def logits_of(model: Any) -> Callable[[Any], Any]:
    """Return a function from a classifier's outputs to logits: the logarithm after a softmax, otherwise the identity.

    Raises:
        ValueError: it ends in a sigmoid: independent labels, no classes.
    """
    last = model
    while getattr(last, "outputs", None):  # of several the first is the main one, the others are auxiliary classifiers
        last = keras_internals.node_of(last.outputs[0]).operation
    name = getattr(getattr(last, "activation", None), "__name__", "")
    if name in ("sigmoid", "hard_sigmoid"):
        raise ValueError(f"distillation needs an output a class under one softmax; the last layer is a {name}")
    probable = isinstance(last, keras.layers.Softmax) or name == "softmax"

    def logits(outputs: Any) -> Any:
        main = tf.cast(outputs[0] if isinstance(outputs, list | tuple) else outputs, tf.float32)
        return tf.math.log(tf.maximum(main, SMALLEST)) if probable else main

    return logits


def check_fit(teacher: Any, student: Any) -> None:
    """Raise unless a teacher takes the student's inputs and has its classes.

    Raises:
        ValueError: it does not.
    """
    classes = []
    for who, model in (("teacher", teacher), ("student", student)):
        shape = model.output_shape
        first = isinstance(model, DeeplySupervised) or (who == "teacher" and isinstance(model, CommitteeModel))
        shape = shape[0] if first else shape
        if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[-1], int) or shape[-1] < 2:
            raise ValueError(f"the {who} gives outputs of shape {shape}: no classifier with an output a class")
        classes.append(shape[-1])
    if classes[0] != classes[1]:
        raise ValueError(f"the teacher has {classes[0]} classes, the student {classes[1]}")
    takes, given = _inputs(teacher), _inputs(student)
    fits = takes.keys() == given.keys() and all(_fits(takes[name], given[name]) for name in takes)
    if not fits:
        raise ValueError(f"the teacher takes inputs of shape {_shown(takes)}, the student {_shown(given)}")


def _check_classes(facts: Path, class_names: Sequence[str] | None) -> None:
    """Raise if a teacher's run was on classes of other names: then its outputs mean something else."""
    if class_names is None or not facts.is_file():
        return
    known = json.loads(facts.read_text(encoding="utf-8")).get("class_names")
    for index, (old, new) in enumerate(zip(known or (), class_names, strict=False)):  # data may lack the last ones
        if str(old) != str(new):
            raise ValueError(f"class {index} is '{old}' to the teacher and '{new}' in the data")


def _inputs(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return shapes of the inputs by name, without the batch axis; a single input's name is ""."""
    inputs = (keras_internals.graph_of(model) or model).input  # a Sequential that was loaded has no `input` of its own
    if isinstance(inputs, dict):
        return {name: tuple(one.shape[1:]) for name, one in inputs.items()}
    return {"" if len(model.inputs) == 1 else str(i): tuple(one.shape[1:]) for i, one in enumerate(model.inputs)}


def _fits(takes: tuple[int | None, ...], given: tuple[int | None, ...]) -> bool:
    return len(takes) == len(given) and all(a in (None, b) for a, b in zip(takes, given, strict=True))


def _shown(shapes: Mapping[str, tuple[int | None, ...]]) -> str:
    return str(shapes[""]) if shapes.keys() == {""} else ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
