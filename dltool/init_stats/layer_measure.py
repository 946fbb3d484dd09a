"""The figures of one layer, gathered over batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dltool.graph.layer_tree import CELL, own_weights
from dltool.init_stats import recurrence
from dltool.init_stats.capture import Signal
from dltool.init_stats.distribution import Distribution
from dltool.init_stats.saturation import activation_name, saturated_share
from dltool.init_stats.signal_theory import Prediction


class LayerMeasure:
    """Statistics of a layer's pre-activations ("pre"), activations ("post") and the gradients with respect to them.

    For a recurrent layer "pre" is the candidate's pre-activation and "post" the state h_t, over all time steps.

    Args:
        signal: of the layer's first pass; each pass is then given to `add`.
    """

    def __init__(self, signal: Signal) -> None:
        self.path, self.layer, self.part = signal.path, signal.part.layer, signal.part
        self.is_cell = signal.part.kind == CELL
        self.activation = activation_name(signal.function)
        self.pre = Distribution() if signal.values["before"] else None
        self.post = Distribution()
        self.gradient_pre, self.gradient_post = Distribution(), Distribution()
        self.norms: dict[str, list[float]] = {"pre": [], "post": []}
        self._carriers = {"pre": 0, "post": 0}  # examples times units
        self.is_hidden = False
        self._alive: Any = False
        self._saturated: list[float] = []
        self._theory: dict[str, list[float]] = {}
        self._anchors = ("", "")
        self._time: list[list[float]] = []
        self._states: list[list[float]] = []
        self._gates: dict[str, Distribution] = {}
        self._near: dict[str, list[tuple[float, float]]] = {}

    @property
    def has_kernel(self) -> bool:
        return any(weight.trainable and is_kernel(weight) for weight in own_weights(self.layer))

    @property
    def is_shown(self) -> bool:
        """Return whether to show the layer by default: it has weights or an activation."""
        return bool(self.layer.trainable_weights) or self.pre is not None

    @property
    def gradient(self) -> Distribution:
        """The gradient with respect to the pre-activation, if it exists."""
        return self.gradient_pre if self.gradient_pre.size else self.gradient_post

    @property
    def gradient_per_unit(self) -> float:
        """Root mean square over examples and units of the norm of dL/dz over positions and time steps.

        For a layer with one position it is the root mean square of dL/dz. Strides, max-pooling and flattening share the
        same gradient among more or fewer positions, which keeps the norm and changes the mean; averaging over P
        positions loses a factor sqrt(P) of the norm (P of the mean).
        """
        count = self._carriers["pre" if self.gradient_pre.size else "post"]
        return self.gradient.norm / math.sqrt(count) if self.gradient.finite else math.nan

    def add(self, signal: Signal, prediction: Prediction) -> None:
        values, gradients = signal.values, signal.gradients
        before, after = values["before"], values["after"]
        post, post_role = (values["output"], "output") if self.is_cell or not after else (after, "after")
        slopes = gradients["before"]
        if self.is_cell:
            before, after = recurrence.candidates(signal, "before"), recurrence.candidates(signal, "after")
            slopes = slopes[:: max(len(slopes) // max(len(before), 1), 1)]
            self._add_recurrent(signal)
        for piece in before if self.pre is not None else ():
            self.pre.add(piece)  # type: ignore[union-attr]
        for piece in post:
            self.post.add(piece)
        if self.activation not in ("", "linear"):
            # tanh(0) = 0 passes a gradient on, and a rectifier's 0 may come to life where it gets one
            for piece in (*post, *(slope for slope in slopes if slope.size)):
                self._alive = self._alive | np.any(_units_last(self.layer, piece) != 0, axis=0)
        for piece in after:
            share = saturated_share(signal.function, piece)
            if share is not None:
                self._saturated.append(share)
        for role, pieces, pooled in (
            ("pre", slopes if self.pre is not None else [], self.gradient_pre),
            ("post", gradients[post_role], self.gradient_post),
        ):
            known = [piece for piece in pieces if piece.size]
            for piece in known:
                pooled.add(piece)
            if known:
                self._carriers[role] += len(known[0]) * _units_last(self.layer, known[0]).shape[-1]
                self.norms[role].append(math.sqrt(sum(float(np.sum(np.square(p, dtype=np.float64))) for p in known)))
        for name in ("before", "after", "gradient_before", "gradient_after"):
            if (value := getattr(prediction, name)) is not None:
                self._theory.setdefault(name, []).append(value)
        self._anchors = (prediction.anchor, prediction.gradient_anchor)

    def row(self) -> dict[str, Any]:
        """Return all figures of the layer, None for unmeasurable ones."""
        pre = self.pre
        row: dict[str, Any] = {"layer": self.path, "kind": type(self.layer).__name__, "activation": self.activation}
        for name, one in (("pre", pre), ("post", self.post)):
            row |= {f"{name}_mean": one and one.mean, f"{name}_std": one and one.std}
            row |= {f"{name}_{key}": value for key, value in (one or Distribution()).percentiles().items()}
        row |= {
            "zeros": self.post.zeros / max(self.post.finite, 1),
            "saturated": float(np.mean(self._saturated)) if self._saturated else None,
            "dead_units": float(1 - np.mean(self._alive)) if np.ndim(self._alive) else None,
            "nan": self.post.nan + (pre.nan if pre else 0),
            "inf": self.post.inf + (pre.inf if pre else 0),
            "gradient_nan": self.gradient_post.nan + self.gradient_pre.nan,
            "gradient_inf": self.gradient_post.inf + self.gradient_pre.inf,
            "pre_variance": pre and pre.variance,
            "pre_variance_theory": self._mean("before") if pre else None,
            "post_variance": self.post.variance,
            "post_variance_theory": self._mean("after"),
            "theory_from": self._anchors[0],
        }
        for name, one in (("pre", self.gradient_pre), ("post", self.gradient_post)):
            known = one if one.size else None
            row |= {
                f"gradient_{name}_std": known and known.std,
                f"gradient_{name}_norm": float(np.mean(self.norms[name])) if known else None,
                f"gradient_{name}_variance": known and known.variance,
                f"gradient_{name}_variance_theory": self._mean(f"gradient_{'before' if name == 'pre' else 'after'}")
                if known
                else None,
            }
        row["gradient_theory_from"] = self._anchors[1]
        row["histogram"] = (pre or self.post).bars()
        row["is_hidden"] = self.is_hidden and self.activation != "softmax"  # whose loss undoes its saturation
        return row

    def recurrent_rows(self) -> list[dict[str, Any]]:
        """Gradient through time and the recurrent kernel; nothing for other layers."""
        if not self._time:
            return []
        norms = np.mean(np.array(self._time), axis=0)
        radii = recurrence.spectral_radii(self.layer)
        return [
            {
                "layer": self.path,
                "kind": type(self.layer).__name__,
                "time_steps": len(norms),
                "gradient_first_step": float(norms[0]),
                "gradient_last_step": float(norms[-1]),
                "first_to_last": recurrence.first_to_last(norms),
                "spectral_radius": radii.get("state", max(radii.values(), default=None)),
                "gates_saturated": float(np.mean([sum(pair) for pairs in self._near.values() for pair in pairs]))
                if self._near
                else None,
            }
        ]

    def gate_rows(self) -> list[dict[str, Any]]:
        """Return one row per gate.

        Its figures: mean, shares near 0 and 1, spectral radius of its block of the recurrent kernel.
        """
        radii = recurrence.spectral_radii(self.layer) if self._gates else {}
        rows = []
        for name, pooled in self._gates.items():
            closed, opened = np.mean(np.array(self._near[name]), axis=0)
            figures = {"mean": pooled.mean, "std": pooled.std, "near_0": float(closed), "near_1": float(opened)}
            rows.append({"layer": self.path, "gate": name, **figures, "spectral_radius": radii.get(name)})
        return rows

    def time_step_rows(self) -> list[dict[str, Any]]:
        """Return one row per time step, from 1 in processing order: ||dL/dh_t|| and the states' deviation."""
        if not self._time:
            return []
        norms, stds = np.mean(np.array(self._time), axis=0), np.mean(np.array(self._states), axis=0)
        return [
            {"layer": self.path, "time_step": step, "gradient_norm": float(norm), "state_std": float(std)}
            for step, (norm, std) in enumerate(zip(norms, stds, strict=True), start=1)
        ]

    def _add_recurrent(self, signal: Signal) -> None:
        norms = recurrence.gradient_norms(signal)
        if norms and (not self._time or len(norms) == len(self._time[0])):  # batches of other lengths are left out
            self._time.append(norms)
            self._states.append([float(np.std(state, dtype=np.float64)) for state in recurrence.states(signal)[0]])
        for name, values in recurrence.gates(signal).items():
            self._gates.setdefault(name, Distribution()).add(values)
            near = (float(np.mean(values < recurrence.NEAR)), float(np.mean(values > 1 - recurrence.NEAR)))
            self._near.setdefault(name, []).append(near)

    def _mean(self, name: str) -> float | None:
        values = self._theory.get(name)
        return float(np.mean(values)) if values else None


def is_kernel(weight: Any) -> bool:
    """Return whether a weight is a layer's matrix or filters, under any name such as depthwise_kernel."""
    return "kernel" in weight.path.rpartition("/")[2] and len(weight.shape) > 1


def _units_last(layer: Any, values: np.ndarray) -> np.ndarray:
    """Return values as (examples and positions, units)."""
    if getattr(layer, "data_format", None) == "channels_first" and values.ndim > 2:
        values = np.moveaxis(values, 1, -1)
    return values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
