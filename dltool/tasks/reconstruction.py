"""Reconstruction: the targets are the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data.reconstruction import scaled
from dltool.errors import UsageError
from dltool.tasks import _answers, _generation, _outputs
from dltool.tasks.base import Asked, Judged, Judgement, Question, Split, Task
from dltool.training.outputs import BINARY, cross_entropy

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer

MEASURE = "measure_inputs"  # method of a layer: inputs -> figure -> a number an example
EXAMPLES_AT_ONCE = 1000


class Reconstruction(Task):
    """A model gives back its input: outputs and targets have the shape of an example.

    A recipe says `data.targets: inputs`. Targets are pixels in [0, 1], other inputs as they are.
    Facts: `input_shape`; `pixel_range`, black and white in stored images.
    Figures: loss and compiled metrics; `squared_error`, the sum over an example's values of (output - target)^2, and
    `rmse`, sqrt(mean of that over all values); outputs that the loss takes as logits pass a sigmoid first. Means of
    what the first layer with a method `measure_inputs` finds in its inputs, such as an RBM's `pseudo_likelihood`. A
    variational autoencoder with a judge: those of `_generation.judge_made`.
    Reference: Hinton & Salakhutdinov, 2006, Science 313, 504-507 (squared error an image).
    """

    targets = "inputs"
    compares_images = True
    answers_in_one_pass = True

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        shape, wanted = getattr(model, "output_shape", None), tuple(facts["input_shape"])
        if not isinstance(shape, tuple) or shape[1:] == wanted:
            return None
        return f"gives outputs of shape {shape[1:]}, the inputs have {wanted}. End with Reshape: ${{data.input_shape}}."

    def problem_of_class_weight(self) -> str | None:
        return "weighs classes, and these targets are the inputs. Remove it."

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return "their own targets, which would stay as they are"

    def judge(self, model: Any, split: Split) -> Judgement:
        batches = _outputs.batches_of(model, split.pipeline(), _Errors(model))
        each = np.concatenate([np.asarray(errors) for _, errors in batches])
        figures = _outputs.current_figures(model)
        values = int(np.prod(split.trained["input_shape"]))
        figures |= {"squared_error": float(each.mean()), "rmse": float(np.sqrt(each.mean() / values))}
        figures |= _measure_layer(model, split)
        found, tables = Judged(model, split), dict[str, Any]()
        if split.judge is not None:
            if (generator := _generation.Generator.find(model, split.trained)) is None:
                raise UsageError(f"--judge: {split.run} makes no images of codes. Leave it out.")
            more, tables = _generation.judge_made(generator, split)
            figures |= more
        return Judgement(split.run, split.shown, {"examples": len(each)}, figures, self, tables, found)

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row an example: where it comes from and its squared error."""
        split: Split = judgements[0].outcome.split
        models = [judgement.outcome.model for judgement in judgements]
        question = Question(models, split.trained, asked, runs=[judgement.run for judgement in judgements])
        return _answers.of_split(self.answerer(question), split)

    def answerer(self, question: Question) -> Answer:
        """Return a function that gives a row an example: how far its reconstruction is, as a sum of squares."""
        import pandas as pd

        asks = _answers.asks(question)
        errors, pixel_range = _Errors(question.models[0]), question.facts.get("pixel_range")

        def answer(x: Any, places: Sequence[Any]) -> pd.DataFrame:
            outputs = _answers.together([ask(x) for ask in asks]).outputs
            return pd.DataFrame({"squared_error": np.asarray(errors(outputs, scaled(np.asarray(x), pixel_range)))})

        return answer


def _measure_layer(model: Any, split: Split) -> dict[str, float]:
    """Return the mean figures of the first layer that measures its own inputs, none where no layer does."""
    import tensorflow as tf

    from dltool.graph.calls import Unrolled
    from dltool.graph.keras_internals import inner_layers

    if not any(hasattr(layer, MEASURE) for layer in inner_layers(model)):
        return {}
    unrolled = Unrolled(model)
    call = next(call for call in unrolled.steps if hasattr(call.layer, MEASURE))
    measure = tf.function(getattr(call.layer, MEASURE), jit_compile=True)
    found = []
    for x, _ in split.pipeline().in_batches_of(EXAMPLES_AT_ONCE).batches():
        figures = measure(unrolled.run(x, call.takes)[0])
        found.append({name: np.asarray(values, np.float64) for name, values in figures.items()})
    return {name: float(np.concatenate([one[name] for one in found]).mean()) for name in found[0]}


class _Errors:
    """Each example's squared error, float32 (batch,), in the graph or of arrays."""

    def __init__(self, model: Any) -> None:
        read = cross_entropy(model)
        self.are_logits = read is not None and read.targets == BINARY and read.from_logits

    def __call__(self, outputs: Any, targets: Any) -> Any:
        import tensorflow as tf

        outputs, targets = tf.cast(outputs, tf.float32), tf.cast(targets, tf.float32)
        outputs = tf.sigmoid(outputs) if self.are_logits else outputs
        squares = tf.square(outputs - targets)
        return tf.reduce_sum(squares, axis=tuple(range(1, len(squares.shape))))
