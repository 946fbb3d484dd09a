"""A prepared model measured over seeds, after some updates: what init-stats repeats for every variant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.runs.preparation import Preparation

if TYPE_CHECKING:
    from dltool.init_stats.measurement import Measurement
    from dltool.init_stats.passes import Passes

COMPILE_FROM = 8  # passes: tracing one as a graph costs about as long as so many without


@dataclass
class Trial:
    """A variant measured at one moment of its training.

    Args:
        model: the variant's name.
        step: updates made before.
        measurements: a seed each.
        notes: what is remarkable, a sentence each.
    """

    model: str
    step: int
    measurements: list[Measurement]
    notes: list[str] = field(default_factory=list)


def trials(
    name: str,
    prepared: Preparation,
    *,
    steps: Sequence[int],
    batches: int,
    seeds: int,
    gaussian: bool,
    patterns: Sequence[str],
    is_trained: bool,
) -> list[Trial]:
    """Measure a prepared model after each of `steps` updates, and leave it unchanged.

    The first seed is the model as prepared; for each further one its weights are redrawn in place and the batches
    come in another order.

    Args:
        steps: in ascending order.
        gaussian: a unit Gaussian in the place of the model's input; targets and updates are the data's.
        patterns: globs of layers.
        is_trained: whether the weights are trained, not drawn.
    Raises:
        UsageError: the model has no weights, no layer matches a pattern, or schedules end before the last step.
    """
    from dltool.graph.layer_globs import check_globs
    from dltool.graph.layer_tree import CELL, LEAF
    from dltool.init_stats.declared_variance import redraw
    from dltool.init_stats.measurement import measure
    from dltool.init_stats.passes import Passes

    if not prepared.model.trainable_weights:
        raise UsageError(f"{name}: the model has no trainable weights to measure")
    _check_schedules(name, prepared, steps[-1])
    asked, batches = batches, min(batches, prepared.steps)
    augment = None if gaussian else prepared.augment
    passes = Passes(prepared.model, augment, compiled=batches * seeds * len(steps) >= COMPILE_FROM)
    try:
        check_globs(patterns, [part.path for part in passes.recorder.parts if part.kind in (LEAF, CELL)])
    except ValueError as error:
        raise UsageError(f"--layers: {error}") from error
    if gaussian:
        _check_gaussian(name, prepared)
    found = [Trial(name, step, []) for step in steps]
    if batches < asked:
        found[0].notes.append(f"an epoch has {batches} batches: measured on these, not on {asked}")
    for index in range(seeds):
        seed = prepared.seed + index
        with passes.untouched():
            if index:
                for path in redraw(prepared.model, passes.recorder.parts, seed):
                    found[0].notes.append(f"{path}: its initialiser is not known: the same for every seed")
            position = 0
            for trial in found:
                _train(prepared, seed, position, trial.step)
                position = trial.step
                chosen = _batches(prepared, seed, position, batches, gaussian)
                declared = position == 0 and not is_trained
                trial.measurements.append(measure(passes, chosen, patterns=patterns, declared=declared))
                trial.notes += trial.measurements[-1].notes
                if index:
                    trial.measurements[-1].distributions.clear()  # pictures show the first seed's: the rest is memory
    if gaussian:
        found[0].notes += _scale_notes(passes, prepared)
    for trial in found:
        trial.notes = list(dict.fromkeys(trial.notes))
    return found


def _check_schedules(name: str, prepared: Preparation, last: int) -> None:
    """Raise if a schedule ends before the last step to measure."""
    from dltool.training.scheduled_optimizer import schedules_of

    scheduled = schedules_of(prepared.model.optimizer)
    length = min((table.steps for table in scheduled.values()), default=0)
    if scheduled and last > length:
        raise UsageError(
            f"--steps {last}: {name} trains for {length} steps, and its schedule of {next(iter(scheduled))} ends "
            "there. Ask for fewer, or raise fit.epochs."
        )


def _train(prepared: Preparation, seed: int, start: int, stop: int) -> None:
    """Updates `start` to `stop` of training."""
    from dltool.data.pipelines.repeated import Repeated
    from dltool.training.procedures.gradient_descent import training_step

    if start == stop:
        return
    step = training_step(prepared.model, prepared.augment, prepared.class_weight, False)
    shuffled = prepared.recipe.setting("fit", "shuffle", default=True)
    batches = Repeated(prepared.train, seed if shuffled else None)
    while start < stop:  # it pauses after a loss that is not finite: that is to be measured, no reason to stop
        start += batches.advance(step, start, stop - start)[0]


def _batches(
    prepared: Preparation, seed: int, position: int, count: int, gaussian: bool
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the next batches of training after `position` updates, with the weights of their examples."""
    import numpy as np
    import tensorflow as tf

    from dltool.training.counting import reads_indices
    from dltool.training.procedures.gradient_descent import sample_weights

    generator, indices = np.random.default_rng([seed, position]), reads_indices(prepared.model.loss)
    epoch, first = divmod(position, prepared.train.steps)
    while count > 0:
        order = _order(prepared, seed, epoch)[first * prepared.batch_size :]
        for x, y in prepared.train.batches(count, order):
            if gaussian:
                x = tf.nest.map_structure(lambda one: tf.constant(generator.normal(size=one.shape), tf.float32), x)
            yield x, y, None if prepared.class_weight is None else sample_weights(prepared.class_weight, y, indices)
            count -= 1
        epoch, first = epoch + 1, 0


def _order(prepared: Preparation, seed: int, epoch: int) -> Any:
    shuffled = prepared.recipe.setting("fit", "shuffle", default=True)
    return prepared.train.order(seed if shuffled else None, epoch)


def _check_gaussian(name: str, prepared: Preparation) -> None:
    import tensorflow as tf

    kinds = {tf.as_dtype(one.dtype) for one in tf.nest.flatten(prepared.model.inputs)}
    if not all(kind.is_floating for kind in kinds):
        words = ", ".join(sorted(kind.name for kind in kinds))
        raise UsageError(f"--input gaussian: the inputs of {name} are {words}; measure it on its data")


def _scale_notes(passes: Passes, prepared: Preparation) -> list[str]:
    """Return a note if layers before the first weights rescale the Gaussian: theory then assumes another input."""
    import numpy as np

    with passes.untouched():
        chosen = next(_batches(prepared, prepared.seed, 0, 1, True))
        signals = passes.run(*chosen).signals
    for signal in signals:
        if signal.part.layer.trainable_weights and signal.values["input"]:
            std = float(np.std(signal.values["input"][0]))
            if not 0.5 < std < 2:
                return [f"{signal.path}: the Gaussian input reaches it with a standard deviation of {std:.3g}"]
            break
    return []
