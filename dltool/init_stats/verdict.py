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
# Share of units of a hidden layer with zero value and zero gradient on every example. Deep in a healthy rectifier net
# all examples look alike to a layer, and half of its units are off for all; a layer with (nearly) all units off passes
# nothing and never recovers ("born dead", Lu et al. 2020, section 2).
DEAD = 0.9
# A recurrent weight's gradient is a sum over time steps (Pascanu, Mikolov & Bengio 2013, eq. 3-4). A step whose
# gradient is below float32's rounding of the last step's is lost in that sum. Depth's factor of 1e3 would be too
# strict: gated cells lose something every step before they have learnt to hold; the recipe lstm/mnist, 28 steps, starts
# with 1 / 1.3e3.
TIME_VANISHED = 2.0**-23


def verdict(
    layers: Sequence[Mapping[str, Any]],
    weights: Sequence[Mapping[str, Any]],
    recurrent: Sequence[Mapping[str, Any]],
    first_to_last: float | None,
    signal_ratio: float | None,
) -> tuple[str, str]:
    """Return the word and the reason.

    exploding: NaN or an infinity among signals or gradients; or gradients more than 1e3 times as large in the first
        layer as in the last, or signals in the last as in the first; or dL/dh more than 1e3 times as large at the first
        time step as at the last.
    dying: more than 90 % of a hidden layer's units have value and gradient zero on every example.
    vanishing: the inverse of the ratios over depth, 1e-3; through time below 2^-23 = 1.2e-7.
    saturated: more than half of a hidden layer's activations.

    Args:
        layers: rows of measured layers with `layer`, `nan`, `inf`, `gradient_nan`, `gradient_inf`, `dead_units`,
            `saturated` and `is_hidden`.
        weights: rows of weights with `layer`, `weight`, `gradient_nan` and `gradient_inf`.
        recurrent: rows of recurrent cells with `layer` and `first_to_last`.
        first_to_last: gradient of the first layer with a kernel by that of the last, as
            `LayerMeasure.gradient_per_unit` gives them.
        signal_ratio: standard deviation of the last such layer's pre-activations by the first's.
    Limits: with several troubles, the first in the order exploding, dying, vanishing, saturated gives the word; the
        reason names all. The word is about this moment: a gated cell can learn to hold what it forgets at its start.
    """
    found: list[tuple[str, str]] = []
    broken = [row["layer"] for row in layers if row["nan"] or row["inf"]]
    if broken:
        found.append(("exploding", f"NaN or infinite values, first in {broken[0]}"))
    broken = [f"{row['layer']}'s {row['weight']}" for row in weights if row["gradient_nan"] or row["gradient_inf"]]
    broken += [row["layer"] for row in layers if row["gradient_nan"] or row["gradient_inf"]]
    if broken:  # gradients are computed from the last layer on
        found.append(("exploding", f"NaN or infinite gradients, first in {broken[-1]}"))
    if first_to_last is not None and first_to_last > RATIO:
        found.append(("exploding", f"gradients grow {first_to_last:.3g}-fold from last to first layer"))
    if signal_ratio is not None and signal_ratio > RATIO:
        found.append(("exploding", f"signals grow {signal_ratio:.3g}-fold from first to last layer"))
    for row in recurrent:
        if row["first_to_last"] > RATIO:
            grown = f"gradients grow {row['first_to_last']:.3g}-fold from last to first step"
            found.append(("exploding", f"through time in {row['layer']} {grown}"))
    hidden = [row for row in layers if row["is_hidden"]]
    worst = _worst(hidden, "dead_units", DEAD)
    if worst:
        found.append(("dying", f"{worst['dead_units']:.0%} of the units of {worst['layer']} are dead on every example"))
    if first_to_last is not None and first_to_last < 1 / RATIO:
        found.append(("vanishing", f"the first layer's gradient is {first_to_last:.3g} of the last's"))
    if signal_ratio is not None and signal_ratio < 1 / RATIO:
        found.append(("vanishing", f"the last layer's signal is {signal_ratio:.3g} of the first's"))
    for row in recurrent:
        if row["first_to_last"] < TIME_VANISHED:
            left = f"the first step's gradient is {row['first_to_last']:.3g} of the last's"
            found.append(("vanishing", f"through time in {row['layer']} {left}"))
    worst = _worst(hidden, "saturated", SATURATED)
    if worst:
        found.append(("saturated", f"{worst['saturated']:.0%} of the activations of {worst['layer']} are saturated"))
    if not found:
        return "healthy", ""
    return found[0][0], "; ".join(reason for _, reason in found)


def _worst(rows: Sequence[Mapping[str, Any]], name: str, bound: float) -> Mapping[str, Any] | None:
    known = [row for row in rows if row[name] is not None and not math.isnan(row[name]) and row[name] > bound]
    return max(known, key=lambda row: row[name], default=None)
