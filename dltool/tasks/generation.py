"""Generation: noise becomes examples that are distributed as the data's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError
from dltool.tasks import _generation, _outputs
from dltool.tasks.base import Judgement, Question, Split, Task

if TYPE_CHECKING:
    from dltool.data.inputs.base import Reader
    from dltool.tasks._readers import Source
    from dltool.tasks.base import Answer


class Generation(Task):
    """A model makes examples of noise: its outputs have the shape of the data's images, with pixels in [0, 1].

    A recipe says `data.inputs: {noise: 64}`, and with `classes: true` the class, one-hot, follows the noise.
    Facts: `input_shape` of noise (and classes), `target_shape` of an image, `noise`, `pixel_range`.
    Figures: loss and compiled metrics; with a judge those of `_generation.judge_made`.
    The loss compares a batch of outputs with a batch of targets as two sets, such as SlicedWasserstein.
    Reference: Goodfellow et al., 2014, Generative adversarial nets, arXiv:1406.2661; lecture slides 117-118.
    """

    targets = "images to generate"
    compares_images = True

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        shape, wanted = getattr(model, "output_shape", None), tuple(facts["target_shape"])
        if not isinstance(shape, tuple) or shape[1:] == wanted:
            return None
        return (
            f"gives outputs of shape {shape[1:]}, the images have {wanted}. End with Reshape: ${{data.target_shape}}."
        )

    def problem_of_class_weight(self) -> str | None:
        return "weighs classes, and these targets are images. Remove it."

    def problem_of_augmentation(self, facts: Mapping[str, Any]) -> str | None:
        return "noise, of which images are made"

    def judge(self, model: Any, split: Split) -> Judgement:
        sizes = [len(targets) for targets, _ in _outputs.batches_of(model, split.pipeline(), lambda outputs, _: ())]
        figures, tables = _outputs.current_figures(model), dict[str, Any]()
        if split.judge is not None:
            generator = _generation.Generator.find(model, split.trained)
            assert generator is not None  # the facts are those of one
            more, tables = _generation.judge_made(generator, split)
            figures |= more
        return Judgement(split.run, split.shown, {"examples": sum(sizes)}, figures, self, tables)

    def reader(self, source: Source) -> Reader:
        """Raise, since the inputs are noise."""
        raise UsageError(f"{source.run}: makes images of noise. Use dltool generate.")

    def answerer(self, question: Question) -> Answer:
        """Raise, since the inputs are noise."""
        raise UsageError("runs that make images of noise answer no examples. Use dltool generate.")
