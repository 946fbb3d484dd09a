"""The same model with other random weights, without building it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.graph.layer_tree import Part, holders
from dltool.init_stats.declared_variance import redrawn


def redraw(model: Any, parts: Sequence[Part], seed: int) -> list[str]:
    """Redraw every trainable weight by its own initialiser, in place, except those of a pre-trained base.

    Args:
        parts: the model's layers.
        seed: of all draws; an initialiser's own seed is not used.
    Returns:
        Paths of weights that keep their values, as their initialiser is not known.
    """
    kept, owners = [], holders(parts)
    for index, weight in enumerate(model.trainable_weights):
        if getattr(weight, "learned", False):
            continue
        part = owners.get(id(weight))
        number = int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
        value = None if part is None else redrawn(part.layer, weight, number)
        if value is None:
            kept.append(weight.path)
        else:
            weight.assign(value)
    return kept
