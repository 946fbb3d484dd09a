"""Callbacks write inside their run only, and never over files of dltool or of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.errors import RecipeError
from dltool.recipe import build, callback_paths, reading
from dltool.recipe.reading import Recipe

OWN = ("recipe.yaml", "model.keras", "history.csv", "history.png", "metrics.json", "data.json", "environment.json",
       "bases.json", "dltool.json", "checkpoint", "checkpoint/x.csv",
       "vocabulary/x", "filters/kernels/a.png")  # fmt: skip


def callbacks(text: str) -> Recipe:
    head = "data: {dataset: Digits}\nmodel: [Flatten]\ncompile: {optimizer: sgd, loss: mse}\n"
    return Recipe(reading.from_text(f"{head}fit: {{callbacks: {text}}}\n", "r.yaml"), "r.yaml", "")


def problem(text: str, run: Path, before: str | None = None) -> str:
    with pytest.raises(RecipeError) as refused:
        build.callbacks(callbacks(text), run, None if before is None else callbacks(before))
    assert "r.yaml:4:" in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("spelling", ["{}", "./{}", ".//{}", "{}/", "UPPER"])
@pytest.mark.parametrize("name", OWN)
def test_names_of_dltools_own_files_are_refused_however_they_are_spelt(name: str, spelling: str) -> None:
    written = name.upper() if spelling == "UPPER" else spelling.format(name)
    assert "is dltool's own" in (callback_paths.fault(written) or "")


@pytest.mark.parametrize(
    "written",
    [
        "/etc/x.csv", "../x.csv", "a/../../x.csv", "x/../recipe.yaml", "", " ", ".", "./", "a\0b", 5, True, None, ["a"],
        "{epoch!s:.<2.0}/x.keras", "{epoch:.<2}/x.keras", "{epoch:/>9}x", "{epoch:c}", "{epoch!r}", "{epoch.real}",
        "{epoch[0]}", "{}", "{0}", "{epoch", "epoch}", "{epoch:{batch}}", "{loss:999999999}", "n" * 201,
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(written: object) -> None:
    assert callback_paths.fault(written)


@pytest.mark.parametrize(
    "written",
    ["log.csv", "ümläut.csv", "logs/log.csv", "{epoch:03d}.keras", "a/{epoch:02d}-{val_loss:.2f}.weights.h5",
     "{loss:.3e}", "my recipe.yaml", "models/model.keras", "a..b.csv", "...", "{{epoch}}.keras", "percentiles.csv"],
)  # fmt: skip
def test_paths_below_the_run_are_taken(written: str) -> None:
    assert callback_paths.fault(written) is None


def test_no_number_makes_a_taken_path_leave_the_run(tmp_path: Path) -> None:
    numbers = [0, 1, -1, 46, 47, 10**9, 0.0, -0.5, 1e-300, 1e300, float("inf"), float("nan"), True]
    for spec in ("", "d", "03d", ".0f", ".2f", "e", ".1g", "+.3E", " 5.1f", "%", "-9d"):
        for shape in ("{x%s}", ".{x%s}", "{x%s}.", "a/{x%s}/b", "{x%s}{x%s}"):
            written = shape.replace("%s", f":{spec}" if spec else "")
            assert callback_paths.fault(written) is None, written
            for number in numbers:
                try:
                    path = written.format(x=number)
                except ValueError:  # 'd' of a float: refused before training
                    continue
                assert ".." not in path.split("/") and not path.startswith("/")


def test_every_argument_that_is_a_path_is_kept_below_the_run() -> None:
    for key in (
        "filename",
        "filepath",
        "log_dir",
        "directory",
        "backup_dir",
        "path",
        "out_file",
        "picture_path",
        "folder",
    ):
        assert callback_paths.is_output(key, f"fit.callbacks[0].Own.{key}")
    for key in ("monitor", "profile_batch", "patience", "separator", "save_freq"):
        assert not callback_paths.is_output(key, f"fit.callbacks[0].Own.{key}")
    assert not callback_paths.is_output("path", "fit.callbacks[0].RemoteMonitor.path")


def test_links_out_of_the_run_are_refused_and_those_inside_are_not(tmp_path: Path) -> None:
    (tmp_path / "run" / "3").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "run" / "away").symlink_to(tmp_path / "out")
    (tmp_path / "run" / "inside").symlink_to("3")
    (tmp_path / "run" / "7").symlink_to(tmp_path / "out")
    (tmp_path / "run" / "log.csv").symlink_to(tmp_path / "out" / "new.csv")
    run = tmp_path / "run"
    for text in ("[{CSVLogger: away/log.csv}]", "[{CSVLogger: log.csv}]", "[{ModelCheckpoint: '{epoch}/x.keras'}]"):
        assert "is a link that leads out of the run directory" in problem(text, run)
    assert len(build.callbacks(callbacks("[{CSVLogger: inside/log.csv}]"), run)) == 1


def test_files_of_the_user_are_not_written_over_but_those_of_earlier_callbacks_are(tmp_path: Path) -> None:
    for name in ("log.csv", "3.keras", "percentiles.png"):
        (tmp_path / name).write_text("mine")
    logger, checkpoint = "[{CSVLogger: log.csv}]", "[{ModelCheckpoint: '{epoch}.keras'}]"
    for text in (logger, checkpoint, "[{CSVLogger: LOG.csv}]", "[{ActivationPercentiles: dense}]"):
        assert "is there and no earlier training wrote it" in problem(text, tmp_path)
        assert build.callbacks(callbacks(text), tmp_path, callbacks(text))
    assert "no earlier training wrote it" in problem(checkpoint, tmp_path, before=logger)
    assert build.callbacks(callbacks(logger), tmp_path / "new")


@pytest.mark.parametrize(
    "text",
    ["[{CSVLogger: a.csv}, {CSVLogger: ./A.csv}]", "[{ModelCheckpoint: a.keras}, {ModelCheckpoint: a.keras}]",
     "[{ActivationPercentiles: d}, {CSVLogger: percentiles.csv}]",
     "[{CSVLogger: p.png}, {ActivationPercentiles: {layer: d, filename: p.csv}}]"],
)  # fmt: skip
def test_two_callbacks_do_not_write_one_file(text: str, tmp_path: Path) -> None:
    said = problem(text, tmp_path)
    assert "fit.callbacks[1]" in said and "writes the file of fit.callbacks[0]" in said


def test_fields_of_a_path_are_measured() -> None:
    known = {"epoch": 1, "loss": 0.5}
    assert callback_paths.fault_of_names("{epoch:02d}-{loss:.2f}", known) is None
    assert "'{val_loss}', which is not measured. Measured: epoch, loss." in str(
        callback_paths.fault_of_names("{val_loss}", known)
    )
    assert "can't be filled in" in str(callback_paths.fault_of_names("{loss:d}", known))
    assert callback_paths.fault_of_names("", known) is None
