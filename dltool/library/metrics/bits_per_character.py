"""Bits that a model needs for a character."""

from __future__ import annotations

import math
from typing import Any

import keras

from dltool.library.metrics.perplexity import Perplexity


@keras.saving.register_keras_serializable("dltool")
class BitsPerCharacter(Perplexity):
    """Bits a character: the mean cross-entropy, -log2 p(y) a target, of a model whose tokens are characters.

    Args:
        from_logits: whether predictions are logits rather than probabilities. Defaults to False.
    Shapes: targets (...), predictions (..., classes).
    Limits: where tokens are words or pieces these are bits a token; `dltool score RUN FILE` counts
        characters.
    Reference: Graves, 2013, arXiv:1308.0850, section 3.
    """

    def __init__(self, from_logits: bool = False, name: str = "bits_per_character", **kwargs: Any) -> None:
        super().__init__(from_logits=from_logits, name=name, **kwargs)

    def result(self) -> Any:
        return self.mean() / math.log(2)
