"""The range tests of one recipe, a sweep a seed, and what they suggest, as tables and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import DltoolError, UsageError, messages
from dltool.output.files import output
from dltool.runs import opened
from dltool.runs.preparation import Preparation

if TYPE_CHECKING:
    import pandas as pd

    from dltool.lr_schedule.range_test import Sweep

RATE_COLUMNS = {"learning_rate", "lowest", "highest", "recipe_learning_rate", "at_learning_rate"}  # three digits


class RangeTest:
    """The sweeps of one recipe.

    Args:
        prepared: of the first seed.
        validation: whether the rules read the validation loss.
    """

    def __init__(
        self,
        prepared: Preparation,
        source: str,
        start: float,
        stop: float,
        steps: int,
        spacing: str,
        smoothing: float,
        validation: bool,
    ) -> None:
        from dltool.lr_schedule import range_test

        if type(prepared.procedure).__name__ != "GradientDescent":
            name = type(prepared.procedure).__name__
            raise UsageError(
                f"{source}: a range test takes steps of gradient descent; the recipe's procedure is {name}."
            )
        if not prepared.model.trainable_variables:
            raise UsageError(f"{source}: the model has no trainable weights: no learning rate changes its loss.")
        if validation and prepared.validation is None:
            raise UsageError(f"--validation: {source} has no validation split. Set data.validation_split.")
        self.prepared, self.source, self.validation = prepared, source, validation
        self.rates = range_test.rates(start, stop, steps, spacing)
        self.spacing, self.smoothing = spacing, smoothing
        self.seeds: list[int] = []
        self.sweeps: list[Sweep] = []
        self.peak = peak(prepared)
        self._trained = opened.is_run(source)

    def sweep(self, number: int) -> None:
        """Take the sweep of a further seed; the first is the recipe's own."""
        from dltool.lr_schedule import range_test

        prepared = self._seeded(number)
        arguments = prepared.fit_arguments()
        taken = ("augment", "shuffle", "class_weight", "jit_compile", "seed")
        with prepared.data.explained():
            try:
                found = range_test.sweep(
                    prepared.model,
                    prepared.train,
                    self.rates,
                    validation=prepared.validation if self.validation else None,
                    smoothing=self.smoothing,
                    **{name: arguments[name] for name in taken},
                )
            except ValueError as error:
                raise UsageError(f"{self.source}: {error}") from error
        ended = found.stopped or f"the last rate, {self.rates[-1]:.3g}, was reached"
        messages.say(f"seed {prepared.seed}: {len(found.losses)} of {len(self.rates)} steps; {ended}")
        self.seeds.append(prepared.seed)
        self.sweeps.append(found)

    def _seeded(self, number: int) -> Preparation:
        first = self.prepared
        if number == 0:
            return first
        seed = first.seed + number
        weights = first.model.get_weights()
        prepared = Preparation(first.recipe, first.data, seed)
        if self._trained:
            prepared.model.set_weights(weights)
        return prepared

    def curves(self) -> list[Any]:
        """Return the curves that the rules read, one per seed."""
        from dltool.lr_schedule.rate_rules import Curve, smooth

        found = []
        for sweep in self.sweeps:
            losses, smoothed = sweep.losses, sweep.smoothed
            if sweep.validation_losses is not None:
                losses = sweep.validation_losses
                smoothed = smooth(losses, self.smoothing)
            found.append(Curve(sweep.learning_rates, losses, smoothed, len(self.rates)))
        return found

    def suggestions(self) -> dict[str, list[float]]:
        """Rule -> its rates, of the seeds whose curve it can be read off."""
        from dltool.lr_schedule import rate_rules

        clear = [curve for curve in self.curves() if rate_rules.refusal(curve) is None]
        return {name: [r for r in map(rule, clear) if r is not None] for name, rule in rate_rules.RULES.items()}

    def medians(self) -> dict[str, float | None]:
        """Rule -> the median of its rates, None where it has them for half of the seeds or fewer."""
        import numpy as np

        found = self.suggestions()
        enough = len(self.sweeps) // 2 + 1
        return {name: float(np.median(rates)) if len(rates) >= enough else None for name, rates in found.items()}

    def suggested(self, rule: str) -> float:
        """Return the rate of a rule, with three digits.

        Raises:
            DltoolError: the rule gives no rate.
        """
        from dltool.lr_schedule import rate_rules

        rate = self.medians()[rule]
        if rate is not None:
            return float(f"{rate:.3g}")
        refusals = [text for curve in self.curves() if (text := rate_rules.refusal(curve)) is not None]
        if len(refusals) * 2 >= len(self.sweeps):
            reason = self._explained(refusals[0])
            if len(self.sweeps) > 1:
                reason = f"for {len(refusals)} of {len(self.sweeps)} seeds; of one, {reason}"
        else:
            reason = f"the rule '{rule}' finds nothing in this curve; see the others"
        raise DltoolError(f"{self.source}: no learning rate can be suggested: {reason}")

    def _explained(self, refusal: str) -> str:
        """Return the remedy for a refusal."""
        if "noisy" in refusal:
            return f"{refusal}, the noise of a batch. More steps, larger batches or a longer way to --to may help."
        return f"{refusal}. Check --from and --to, and that the model can learn."

    def report(self, rule: str, form: str) -> dict[str, pd.DataFrame]:
        """Sections: what each rule suggests, how each sweep went, and for programs the sweeps themselves."""
        import pandas as pd

        found, medians = self.suggestions(), self.medians()
        rows = []
        for name in found:
            row: dict[str, Any] = {"rule": name, "learning_rate": medians[name]}
            if len(self.sweeps) > 1:
                row |= {"lowest": min(found[name], default=None), "highest": max(found[name], default=None)}
                row |= {"seeds": f"{len(found[name])} of {len(self.sweeps)}"}
            rows.append(row | {"chosen": name == rule})
        report = {"suggestions": pd.DataFrame(rows), "sweeps": pd.DataFrame(self._summaries())}
        if form == "table":
            for frame in report.values():
                for column in RATE_COLUMNS & {*frame.columns}:
                    frame[column] = [None if pd.isna(rate) else f"{rate:.3g}" for rate in frame[column]]
        else:
            report["sweep"] = pd.concat(
                [
                    pd.DataFrame({"step": range(1, len(curve["loss"]) + 1), **curve, "seed": seed})
                    for seed, curve in zip(self.seeds, self._columns(), strict=True)
                ]
            )
            if len(self.sweeps) == 1:
                report["sweep"] = report["sweep"].drop(columns="seed")
        return report

    def _summaries(self) -> list[dict[str, Any]]:
        from dltool.lr_schedule import rate_rules

        rows = []
        for seed, sweep, curve in zip(self.seeds, self.sweeps, self.curves(), strict=True):
            row: dict[str, Any] = {"seed": seed, "steps": len(sweep.losses), "recipe_learning_rate": self.peak}
            refusal = rate_rules.refusal(curve)
            if len(curve.losses) > curve.first:
                row |= {"loss_at_start": curve.start, "lowest_smoothed": curve.start - curve.fall}
                row |= {"at_learning_rate": float(curve.learning_rates[curve.lowest]), "noise": curve.noise}
            note = refusal or sweep.stopped
            if refusal is None and sweep.stopped is None and curve.lowest >= len(curve.losses) - 2:
                note = "the loss still falls at the last rate: raise --to"
            rows.append(row | {"note": note or "no divergence"})
        return rows

    def _columns(self) -> list[dict[str, Any]]:
        """Return the sweeps as columns, one mapping per seed."""
        found = []
        for sweep in self.sweeps:
            columns = {"learning_rate": sweep.learning_rates, "loss": sweep.losses, "smoothed": sweep.smoothed}
            if sweep.validation_losses is not None:
                columns["validation_loss"] = sweep.validation_losses
            found.append(columns)
        return found

    def draw(self, path: Path) -> None:
        from dltool.output.learning_rate_range import plot_range

        with output(path) as file:
            plot_range(
                self._columns(),
                self.medians(),
                file,
                f"learning-rate range test: {self.source}",
                form=path.suffix[1:].lower(),
                logarithmic=self.spacing == "exponential",
            )


def peak(prepared: Preparation) -> float:
    """Return the recipe's learning rate; for a schedule, its highest value over training."""
    from dltool.graph.keras_internals import inner_optimizer
    from dltool.training.scheduled_optimizer import schedules_of

    optimizer = inner_optimizer(prepared.model.optimizer)
    table = schedules_of(optimizer).get("learning_rate")
    return float(optimizer.learning_rate) if table is None else float(table.peak)
