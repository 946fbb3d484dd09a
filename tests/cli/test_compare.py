"""dltool compare: its figures are those of eval, its gap their difference; runs without results are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli_light import LIGHT_SECONDS, watched
from tests.command_line import run

EARLIER = Path(__file__).parents[1] / "runs/earlier/digits"


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the run, with other results, or without any if these are None."""

    def copy(name: str, **others: Any) -> Path:
        folder = shutil.copytree(EARLIER, tmp_path / name)
        results = json.loads((folder / "metrics.json").read_text()) | others
        kept = {key: value for key, value in results.items() if value is not None}
        (folder / "metrics.json").write_text(json.dumps(kept))
        return folder

    return copy


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    done = run(capsys, "compare", *arguments, "--format", "json")
    assert (done.status, done.err) == (0, ""), done.err
    rows: list[dict[str, Any]] = json.loads(done.out)["compared"]
    return rows


def evaluated(capsys: pytest.CaptureFixture[str], split: str) -> dict[str, float]:
    (scores,) = json.loads(run(capsys, "eval", EARLIER, "--split", split, "--format", "json").out)["scores"]
    return dict(scores)


def test_figures_of_the_splits_are_those_of_eval_and_the_gap_is_train_less_test(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = {split: evaluated(capsys, split) for split in ("train", "validation", "test")}
    for figure in ("accuracy", "macro_f1"):  # the second is not in metrics.json
        (row,) = compared(capsys, EARLIER, "--figure", figure)
        expected = {split: of_split[figure] for split, of_split in scores.items()}
        assert {split: row[split] for split in expected} == pytest.approx(expected, abs=1e-6)
        assert row["gap"] == pytest.approx(expected["train"] - expected["test"], abs=1e-6)
        assert (row["figure"], row["epoch"], row["epochs"], row["parameters"]) == (figure, 2, 2, 336)


def test_results_that_stand_in_the_runs_need_no_tensorflow(tmp_path: Path) -> None:
    status, said, modules, seconds = watched("compare", str(EARLIER), "--format", "csv", limit=LIGHT_SECONDS)
    assert status == 0 and seconds < LIGHT_SECONDS
    assert not {"tensorflow", "keras", "pandas"} & set(modules)
    assert said.splitlines()[0] == "run,figure,train,validation,test,gap,epoch,epochs,parameters,seconds"


def test_rows_rise_or_fall_by_a_column(
    copied: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"wide": (1.0, 0.7), "narrow": (0.9, 0.85), "between": (0.95, 0.8)}
    runs = [copied(name, train={"accuracy": a}, test={"accuracy": b}) for name, (a, b) in scores.items()]
    untested = copied("untested", train={"accuracy": 0.5}, validation=None, test=None)
    for sort, names in (
        ([], ["untested", "wide", "narrow", "between"]),
        (["--sort", "gap"], ["narrow", "between", "wide", "untested"]),
        (["--sort", "-gap"], ["wide", "between", "narrow", "untested"]),
        (["--sort", "run"], ["between", "narrow", "untested", "wide"]),
    ):
        rows = compared(capsys, untested, *runs, "--figure", "accuracy", *sort)
        assert [Path(row["run"]).name for row in rows] == names
    assert [row["gap"] for row in rows] == pytest.approx([0.15, 0.05, None, 0.3])


def test_the_gap_is_to_the_validation_split_where_there_is_no_test_split(
    copied: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = compared(capsys, copied("a", train={"loss": 0.25}, validation={"loss": 1.0}, test=None))
    assert row["gap"] == -0.75 and "test" not in row


def test_the_default_is_the_first_metric_that_all_runs_have_else_the_loss(
    copied: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = copied("first", **{split: {"loss": 1, "auc": 0.5, "mae": 2} for split in ("train", "validation", "test")})
    second = copied("second", **{split: {"loss": 1, "mae": 3} for split in ("train", "validation", "test")})
    assert [row["figure"] for row in compared(capsys, first, second)] == ["mae", "mae"]
    assert {row["figure"] for row in compared(capsys, first, second, EARLIER)} == {"loss"}


def test_a_run_without_results_is_named_and_left_out(
    copied: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished = copied("unfinished")
    (unfinished / "metrics.json").unlink()
    done = run(capsys, "compare", EARLIER, unfinished, "--format", "csv")
    assert done.status == 0 and len(done.out.splitlines()) == 2
    assert done.err.startswith(f"dltool: {unfinished}: has no results: its training failed, diverged or has not ended.")
    alone = run(capsys, "compare", unfinished)
    assert alone.status == 5 and "metrics.json: is missing." in alone.err


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ([EARLIER, "--sort", "gaps"], 2, "--sort gaps: no column 'gaps'. Did you mean 'gap'?"),
        ([EARLIER, "--figure", "acuracy"], 2, "has none. Did you mean 'accuracy'?"),
        (["nowhere"], 5, "nowhere: no such run directory"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[Any], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "compare", *arguments)
    assert done.status == status and line in done.err and done.err.count("\n") == 1
