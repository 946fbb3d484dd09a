"""The tables of init-stats: a few columns for people, all for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dltool.init_stats.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
MODEL_FIGURES = (
    "loss", "penalty", "chance", "loss_to_chance", "first_to_last", "gradient_ratio", "time_ratio",
    "weight_first_to_last", "signal_last_to_first", "update_to_weight", "dead_units", "saturated", "nan", "inf",
    "identical_units",
)  # fmt: skip
TABLE: dict[str, dict[str, str]] = {  # section -> column of the table -> figure
    "model": {
        "loss": "loss",
        "chance": "chance",
        "loss:chance": "loss_to_chance",
        "gradient first:last": "first_to_last",
        "through time": "time_ratio",
        "signal last:first": "signal_last_to_first",
        "update:weight": "update_to_weight",
        "dead units": "dead_units",
        "saturated": "saturated",
        "verdict": "verdict",
        "why": "why",
    },
    "forward": {
        "layer": "layer",
        "activation": "activation",
        "mean z": "pre_mean",
        "std z": "pre_std",
        "z at 15/50/85 %": "pre_percentiles",
        "z": "histogram",
    },
    "variance": {
        "layer": "layer",
        "var z": "pre_variance",
        "theory": "pre_variance_theory",
        "var f(z)": "post_variance",
        "theory ": "post_variance_theory",
    },
    "units": {
        "layer": "layer",
        "zeros": "zeros",
        "saturated": "saturated",
        "dead units": "dead_units",
    },
    "backward": {
        "layer": "layer",
        "std dL/dz": "gradient_pre_std",
        "norm": "gradient_pre_norm",
        "var dL/dz": "gradient_pre_variance",
        "theory": "gradient_pre_variance_theory",
        "std dL/df(z)": "gradient_post_std",
        "norm ": "gradient_post_norm",
    },
    "weights": {
        "layer": "layer",
        "weight": "weight",
        "initializer": "initializer",
        "variance": "variance",
        "declared": "declared_variance",
        "ratio": "variance_ratio",
        "z score": "z_score",
        "std dL/dw": "gradient_std",
        "norm": "gradient_norm",
        "gradient:weight": "gradient_to_weight",
        "update:weight": "update_to_weight",
    },
    "recurrent": {
        "layer": "layer",
        "kind": "kind",
        "time steps": "time_steps",
        "norm dL/dh_1": "gradient_first_step",
        "norm dL/dh_T": "gradient_last_step",
        "first:last": "first_to_last",
        "spectral radius": "spectral_radius",
        "gates saturated": "gates_saturated",
    },
    "gates": {
        "layer": "layer",
        "gate": "gate",
        "mean": "mean",
        "near 0": "near_0",
        "near 1": "near_1",
        "spectral radius": "spectral_radius",
    },
}
KEYS = {
    "layers": ("layer",),
    "weights": ("layer", "weight"),
    "recurrent": ("layer",),
    "gates": ("layer", "gate"),
    "time_steps": ("layer", "time_step"),
}
INNER = ("is_hidden", "is_kernel", "gradient_rms")
COUNTS = ("nan", "inf", "gradient_nan", "gradient_inf", "units", "time_steps")  # whose spread over seeds says nothing


def report(found: Sequence[Trial], seeds: int, form: str) -> dict[str, pd.DataFrame]:
    """Return the sections: for "table" those of `TABLE` and notes; otherwise those of `KEYS`.

    For programs, "layers" also has the figures of each layer's kernel, under `kernel_`.
    """
    import pandas as pd

    rows = _rows(found, seeds)
    if form != "table":
        kernels = {(row["model"], row["step"], row["layer"]): row for row in reversed(rows["weights"])}
        for row in rows["layers"]:
            row.pop("histogram")
            kernel = kernels.get((row["model"], row["step"], row["layer"].partition(" ")[0]), {})
            figures = [name for name in _names(rows["weights"]) if name not in ("model", "step", "layer", "weight")]
            row |= {f"kernel_{name}": kernel.get(name) for name in figures}
        return {
            title: pd.DataFrame([{k: v for k, v in row.items() if not _is_inner(k)} for row in part], dtype=object)
            for title, part in rows.items()
            if part or title == "layers"
        }
    rows["weights"] = [row for row in rows["weights"] if row["is_kernel"]] or rows["weights"]
    of_layers = ("forward", "variance", "units", "backward")
    shown = {title: rows["layers" if title in of_layers else title] for title in TABLE}
    leading = [
        *(["model"] if len({one.model for one in found}) > 1 else []),
        *(["step"] if len({one.step for one in found}) > 1 else []),
    ]
    sections = {}
    for title, part in shown.items():
        columns = {**dict.fromkeys(leading if title != "model" else ["model", *leading[-1:]]), **TABLE[title]}
        table = [{head: _shown(row, figure or head) for head, figure in columns.items()} for row in part]
        if title == "units" and any(row["nan"] or row["inf"] for row in part):
            table = [{**cells, "NaN/Inf": int(row["nan"] + row["inf"])} for cells, row in zip(table, part, strict=True)]
        if table:
            sections[title] = _without_empty(pd.DataFrame(table, dtype=object))
    if rows["notes"]:
        sections["notes"] = pd.DataFrame(rows["notes"]).drop(columns=[n for n in ("step",) if n not in leading])
    return sections


def _rows(found: Sequence[Trial], seeds: int) -> dict[str, list[Row]]:
    from dltool.init_stats.spread import pooled

    rows: dict[str, list[Row]] = {title: [] for title in ("model", *KEYS, "notes")}
    for one in found:
        lead: Row = {"model": one.model, "step": one.step}
        (model,) = pooled([[measurement.model] for measurement in one.measurements], ())
        words = [measurement.model["verdict"] for measurement in one.measurements]
        if seeds > 1:
            model["verdict_share"] = words.count(model["verdict"]) / len(words)
            model["why"] = next(m.model["why"] for m in one.measurements if m.model["verdict"] == model["verdict"])
        rows["model"].append({**lead, "seeds": len(words), **model})
        for title, keys in KEYS.items():
            tables = [getattr(measurement, title) for measurement in one.measurements]
            rows[title] += [{**lead, **row} for row in pooled(tables, keys)]
        rows["notes"] += [{**lead, "note": note} for note in one.notes]
    return rows


def _shown(row: Row, figure: str) -> Any:
    """Return a cell for people: with several seeds mean and spread."""
    if figure == "pre_percentiles":
        values = [row[f"pre_p{share}"] for share in (15, 50, 85)]
        return None if values[0] is None or math.isnan(values[0]) else " ".join(f"{value:.3g}" for value in values)
    value = row[figure]
    if figure == "verdict" and row.get("verdict_share", 1) < 1:
        return f"{value} ({row['verdict_share']:.0%} of seeds)"
    if isinstance(value, float) and (sd := row.get(f"{figure}_sd")) is not None:
        return f"{value:.4g} ± {sd:.2g}"
    if isinstance(value, float) and (factor := row.get(f"{figure}_spread")) is not None:
        return f"{value:.4g} */ {factor:.2g}"
    return value


def _is_inner(name: str) -> bool:
    """Return whether a column, also under a kernel's or spread's name, serves only this program."""
    figure = name.removeprefix("kernel_").removesuffix("_sd")
    return figure in INNER or (name.endswith("_sd") and figure in COUNTS)


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that no row fills."""
    return frame[[name for name in frame if not all(value is None or value == "" for value in frame[name])]]
