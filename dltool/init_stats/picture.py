"""The picture of init-stats: distributions through depth, measured and predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltool.init_stats.spread import pooled
from dltool.init_stats.trial import Trial
from dltool.output.files import output
from dltool.output.signal_depth import Profile, plot_depth


def draw(found: Sequence[Trial], path: Path, title: str) -> None:
    """Draw the distributions through depth into a picture."""
    with output(path) as file:
        plot_depth(
            [profile(one, len({each.step for each in found}) > 1) for one in found],
            file,
            title,
            path.suffix.lower().lstrip("."),
        )


def profile(trial: Trial, has_steps: bool) -> Profile:
    """Return a trial as the picture shows it: histograms of its first seed, variances in the mean over seeds.

    Args:
        has_steps: whether the label says after how many updates.
    """
    first = trial.measurements[0]
    rows = pooled([one.layers for one in trial.measurements], ("layer",))
    values = [first.distributions[row["layer"]] for row in first.layers]
    return Profile(
        label=f"{trial.model}, step {trial.step}" if has_steps else trial.model,
        layers=[row["layer"] for row in rows],
        signals=[one["signal"].values for one in values],
        gradients=[one["gradient"].values for one in values],
        signal_std=_roots(rows, "post_variance"),
        signal_theory=_roots(rows, "post_variance_theory"),
        gradient_std=_roots(rows, "gradient_pre_variance", "gradient_post_variance"),
        gradient_theory=_roots(rows, "gradient_pre_variance_theory", "gradient_post_variance_theory"),
    )


def _roots(rows: Sequence[dict[str, Any]], *names: str) -> list[float | None]:
    values = [next((row[name] for name in names if row[name] is not None), None) for row in rows]
    return [None if value is None else max(value, 0.0) ** 0.5 for value in values]
