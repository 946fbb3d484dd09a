"""A model measured over batches: rows of figures for the model, its layers, its weights and its time steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.graph.layer_globs import matches
from dltool.init_stats.capture import Capture
from dltool.init_stats.chance import chance_of
from dltool.init_stats.distribution import Distribution
from dltool.init_stats.layer_measure import LayerMeasure
from dltool.init_stats.passes import Passes
from dltool.init_stats.signal_theory import SignalTheory
from dltool.init_stats.verdict import verdict
from dltool.init_stats.weight_measure import WeightMeasure

Row = dict[str, Any]


@dataclass
class Measurement:
    """Figures of a model at one moment.

    Args:
        model: loss, ratios and verdict; see `init-stats --help` for the words.
        layers, weights, recurrent, gates, time_steps: rows.
        distributions: layer -> role ("signal", "gradient") -> pooled values, for plots.
        notes: what could not be seen or is remarkable, a sentence each.
    """

    model: Row
    layers: list[Row]
    weights: list[Row]
    recurrent: list[Row]
    gates: list[Row]
    time_steps: list[Row]
    distributions: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure(
    passes: Passes,
    batches: Iterable[tuple[Any, Any, Any]],
    *,
    patterns: Sequence[str] = (),
    declared: bool = True,
) -> Measurement:
    """Measure a model as it stands over batches; its variables are put back.

    Args:
        batches: (x, y, weights of the examples or None).
        patterns: globs of the layers to show; verdict and ratios regard all.
        declared: whether the weights are a fresh draw of their initialisers, on which theory then builds.
    """
    theory = SignalTheory(declared)
    layers: dict[str, LayerMeasure] = {}
    weights = WeightMeasure(passes.model, passes.recorder.parts)
    losses, penalties, targets, unseen, scale = [], [], [], {}, []
    with passes.untouched():
        for x, y, sample_weight in batches:
            capture = passes.run(x, y, sample_weight)
            for signal, prediction in zip(capture.signals, theory.predict(capture), strict=True):
                layers.setdefault(signal.path, LayerMeasure(signal)).add(signal, prediction)
            weights.add(capture)
            losses.append(capture.loss)
            penalties.append(capture.penalty)
            scale.append(capture.sample_weight)
            unseen.update(dict.fromkeys(capture.unseen))
            targets.append(y)
    kept = [one for one in layers.values() if one.is_shown or matches(one.path, patterns)]
    kernels = [one for one in layers.values() if one.has_kernel]
    for one in kept:
        one.is_hidden = bool(kernels) and one is not kernels[-1] and _before(layers, one, kernels[-1])
    rows = [one.row() for one in kept]
    weight_rows = weights.rows()
    chance = chance_of(passes.model, targets)
    recurrent = [row for one in kept for row in one.recurrent_rows()]
    model = _model_row(kernels, rows, weight_rows, recurrent, float(np.mean(losses)), float(np.mean(penalties)))
    chance = None if chance is None else chance * float(np.mean(scale))
    model["chance"] = chance
    model["loss_to_chance"] = (model["loss"] - model["penalty"]) / chance if chance else None
    word, why = verdict(rows, weight_rows, recurrent, model["first_to_last"], model["signal_last_to_first"])
    model |= {"verdict": word, "why": why}
    notes = [f"{path}: not seen, TensorFlow runs it in a loop of its own" for path in unseen]
    notes += [
        f"{row['layer']}: {row['identical_units']} of {row['units']} units are copies of each other: they stay equal"
        for row in weight_rows
        if row["identical_units"]
    ]
    globs = patterns or ["*"]
    shown = [one for one in kept if matches(one.path, globs)]
    return Measurement(
        model,
        [row for row, one in zip(rows, kept, strict=True) if matches(one.path, globs)],
        [row for row in weight_rows if matches(row["layer"], globs)],
        [row for row in recurrent if matches(row["layer"], globs)],
        [row for one in shown for row in one.gate_rows()],
        [row for one in shown for row in one.time_step_rows()],
        {one.path: {"signal": one.post, "pre": one.pre or one.post, "gradient": one.gradient} for one in shown},
        notes,
    )


def _model_row(
    kernels: Sequence[LayerMeasure],
    rows: Sequence[Row],
    weights: Sequence[Row],
    recurrent: Sequence[Row],
    loss: float,
    penalty: float,
) -> Row:
    first_to_last = _ratio(kernels, lambda one: one.gradient_per_unit)
    signal = _ratio(kernels, lambda one: (one.pre or one.post).std)
    kernel_rows = [row for row in weights if row["is_kernel"] and row["gradient_rms"] is not None]
    by_weights = _quotient(kernel_rows[0]["gradient_rms"], kernel_rows[-1]["gradient_rms"]) if kernel_rows else None
    hidden = [row for row in rows if row["is_hidden"]]
    updates = [row["update_to_weight"] for row in kernel_rows if row["update_to_weight"] is not None]
    return {
        "loss": loss,
        "penalty": penalty,
        "chance": None,
        "loss_to_chance": None,
        "first_to_last": first_to_last,
        "gradient_ratio": _folds(first_to_last),
        "time_ratio": _largest([_folds(row["first_to_last"]) for row in recurrent]),
        "weight_first_to_last": by_weights,
        "signal_last_to_first": None if signal is None else _quotient(1.0, signal),
        "update_to_weight": max(updates, default=None),
        "dead_units": max((row["dead_units"] for row in hidden if row["dead_units"] is not None), default=None),
        "saturated": max((row["saturated"] for row in hidden if row["saturated"] is not None), default=None),
        "nan": sum(row["nan"] for row in rows) + sum(row["gradient_nan"] for row in (*rows, *weights)),
        "inf": sum(row["inf"] for row in rows) + sum(row["gradient_inf"] for row in (*rows, *weights)),
        "identical_units": sum(row["identical_units"] or 0 for row in weights),
    }


def _ratio(kernels: Sequence[LayerMeasure], figure: Any) -> float | None:
    """Return the first kernel layer's figure divided by the last's; None with fewer than two layers."""
    known = [value for value in map(figure, kernels) if not math.isnan(value)]
    return _quotient(known[0], known[-1]) if len(known) > 1 else None


def _quotient(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 else math.inf
    return a / b


def _folds(ratio: float | None) -> float | None:
    """Return the factor between two figures, in either direction, at least 1."""
    if ratio is None or math.isnan(ratio):
        return ratio
    return max(ratio, math.inf if ratio == 0 else 1 / ratio)


def _largest(values: Sequence[float | None]) -> float | None:
    """Return the largest value; NaN (unmeasured) only if there is no other."""
    known = [value for value in values if value is not None]
    return max((value for value in known if not math.isnan(value)), default=known[0] if known else None)


def _before(layers: dict[str, LayerMeasure], one: LayerMeasure, last: LayerMeasure) -> bool:
    order = list(layers.values())
    return order.index(one) < order.index(last)


__all__ = ["Capture", "Measurement", "Row", "measure"]
