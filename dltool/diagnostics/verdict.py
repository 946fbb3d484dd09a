"""A model's state in a word: healthy, vanishing, exploding, saturated or dying."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# First and last layer differ by more than this factor. With a loss of 1 / sqrt(2) a layer He et al. 2015 (section 2.2,
# fig. 2 and 3) find that a net of 22 layers, 2e3 in all, starts slowly and that one of 30, 3e4, "completely stalls".
RATIO = 1e3
# Share of saturated activations in a hidden layer: Glorot & Bengio 2010 (section 3.1, fig. 2) see a sigmoid net stuck
# for as long as most units of its top layer sit at 0; half is "most".
SATURATED = 0.5
# Share of units of a hidden layer that are zero on every example. Deep in a healthy rectifier net all examples look
# alike to a layer, and half of its units are off for all; a layer with (nearly) all units off passes nothing and never
# recovers ("born dead", Lu et al. 2020, section 2).
DEAD = 0.9


def verdict(
    layers: Sequence[Mapping[str, Any]], gradient_ratio: float | None, signal_ratio: float | None
) -> tuple[str, str]:
    """The word and the reason.

    Args:
        layers: rows of measured layers with `layer`, `nan`, `inf`, `dead_units`, `saturated` and `is_hidden`.
        gradient_ratio: root mean square of the gradient at the first layer with a kernel by that at the last.
        signal_ratio: standard deviation of the last such layer's pre-activations by the first's.
    Limits: of several troubles the first in the order exploding, dying, vanishing, saturated gives the word; the
        reason names all.
    """
    found: list[tuple[str, str]] = []
    broken = [row["layer"] for row in layers if row["nan"] or row["inf"]]
    if broken:
        found.append(("exploding", f"NaN or infinite values, first in {broken[0]}"))
    if gradient_ratio is not None and gradient_ratio > RATIO:
        found.append(("exploding", f"gradients grow {gradient_ratio:.3g}-fold from last to first layer"))
    if signal_ratio is not None and signal_ratio > RATIO:
        found.append(("exploding", f"signals grow {signal_ratio:.3g}-fold from first to last layer"))
    hidden = [row for row in layers if row["is_hidden"]]
    worst = _worst(hidden, "dead_units", DEAD)
    if worst:
        found.append(("dying", f"{worst['dead_units']:.0%} of the units of {worst['layer']} are zero on every example"))
    if gradient_ratio is not None and gradient_ratio < 1 / RATIO:
        found.append(("vanishing", f"the first layer's gradient is {gradient_ratio:.3g} of the last's"))
    if signal_ratio is not None and signal_ratio < 1 / RATIO:
        found.append(("vanishing", f"the last layer's signal is {signal_ratio:.3g} of the first's"))
    worst = _worst(hidden, "saturated", SATURATED)
    if worst:
        found.append(("saturated", f"{worst['saturated']:.0%} of the activations of {worst['layer']} are saturated"))
    if not found:
        return "healthy", ""
    return found[0][0], "; ".join(reason for _, reason in found)


def _worst(rows: Sequence[Mapping[str, Any]], name: str, bound: float) -> Mapping[str, Any] | None:
    known = [row for row in rows if row[name] is not None and not math.isnan(row[name]) and row[name] > bound]
    return max(known, key=lambda row: row[name], default=None)
