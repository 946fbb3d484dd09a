"""Nothing of the user's is lost, whatever --out, --overwrite, links and callbacks say."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dltool.errors import UsageError
from dltool.output import ownership, picture_folder
from dltool.output.ownership import MARKER
from dltool.runs import directory
from tests.command_line import Done, run, trained, write_quick
from tests.strange_files import snapshot, strange_files

NET = """\
# A net of one kernel on images.
data: {dataset: Digits}
model: [{Conv2D: {filters: 2, kernel_size: 3, name: first}}, Flatten, {Dense: 10}]
compile: {optimizer: adam, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1, batch_size: 512}
"""
SCHEDULE = "CosineDecay: {initial_learning_rate: 0.1, decay_steps: 10}"


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trained(write_quick(folder, text=NET), "--out", folder / "run")
    return folder / "run"


@pytest.fixture
def home(tmp_path: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a recipe, a copy of a run and the strange files."""
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path, text=NET)
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path


def commands(target: object) -> list[list[object]]:
    """Every command that writes, with `target` where an option or argument names what it writes."""
    return [
        ["train", "quick.yaml", "--out", target, "--overwrite"],
        ["train", "quick.yaml", "--out", target, "--resume", "--accept-changes"],
        ["train", "quick.yaml", "--out", target],
        ["lsuv", "quick.yaml", "--out", target, "--overwrite"],
        ["init-stats", "quick.yaml", "--plot", target, "--overwrite"],
        ["init-stats", "quick.yaml", "--plot", target],
        ["lr-find", "quick.yaml", "--plot", target, "--overwrite"],
        ["lr-find", "quick.yaml", "--write", target, "--overwrite"],
        ["lr-schedule", SCHEDULE, "--plot", target, "--overwrite"],
        ["lr-schedule", SCHEDULE, "--plot", target],
        ["percentiles", "run", "--plot", target, "--overwrite"],
        ["summary", "quick.yaml", "--plot", target, "--overwrite"],
        ["eval", "run", "--predictions", target, "--overwrite"],
        ["eval", "run", "--predictions", target],
        ["visualize-filters", "run", "--out", target, "--overwrite"],
        ["visualize-filters", "run", "--out", target],
        ["visualize-augmentation", "quick.yaml", "--out", target, "--overwrite"],
        ["recipes", "copy", "mlp/digits", target, "--overwrite"],
        ["translate", "run", "word", "--attention", target, "--overwrite"],
    ]


def check_untouched(home: Path, names: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """Run every command on every name; return how many were tried."""
    strange = strange_files(home / "strange")
    before = snapshot(strange, home / "outside", home / "run")
    tried = 0
    for name in names:
        for command in commands(strange / name):
            done = run(capsys, *command)
            after = snapshot(strange, home / "outside", home / "run")
            assert done.status in (0, 2, 5) and "fault of dltool" not in done.err, (command, done)
            if done.status == 0:  # a recipe is copied beside other files
                assert {path: after[path] for path in before} == before, command
                for path in after.keys() - before.keys():
                    Path(path).unlink()
            else:
                assert after == before, command
            assert sorted(path.name for path in home.iterdir()) == ["outside", "quick.yaml", "run", "strange"], command
            tried += 1
    return tried


def test_what_a_user_has_is_never_touched(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["p.csv", "plot.png", "recipe.yaml", "link.png", "dangling.csv", "pipe.png", "socket.csv", "loop.csv",
             "."]  # fmt: skip
    assert check_untouched(home, names, capsys) > 150


@pytest.mark.slow
def test_none_of_forty_strange_files_is_touched_in_any_position(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = strange_files(home / "probe")
    names = [str(path.relative_to(probe)) for path in probe.rglob("*") if not path.is_dir() or path.is_symlink()]
    shutil.rmtree(probe)
    shutil.rmtree(home / "outside")
    folders = (".", "../strange", "checkpoint", "vocabulary", "filters", "mlp", "logs", "link", "away")
    assert check_untouched(home, [*names, *folders], capsys) > 900


# -- run directories --------------------------------------------------------------------------------------


def overwritten(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    return run(capsys, "train", "quick.yaml", "--out", "run", "--overwrite", "-q", *arguments)


def test_a_project_folder_is_no_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe, data and checkpoints written by hand look like a run and are none."""
    (home / "project" / "checkpoint").mkdir(parents=True)
    shutil.copy("quick.yaml", "project/recipe.yaml")
    for name in ("data.json", "checkpoint/best.pt", "checkpoint/best-1.npz", "metrics.json"):
        (home / "project" / name).write_text("{}")
    os.chdir("project")
    before = snapshot(home)
    for arguments in (["recipe.yaml", "--out", ".", "--overwrite"], [".", "--overwrite"], [".", "--resume"],
                      [".", "fit.epochs=3", "--resume", "--accept-changes"]):  # fmt: skip
        done = run(capsys, "train", *arguments)
        assert done.status in (2, 5) and "is not a run directory" in done.err, done
    assert run(capsys, "lsuv", "recipe.yaml", "--out", ".", "--overwrite").status == 2
    assert snapshot(home) == before


def test_a_new_training_replaces_its_own_files_by_name_and_keeps_the_users(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "visualize-filters", "run").status == 0
    mine = ("notes.txt", "checkpoint/best.pt", "checkpoint/best-mine.npz", "filters/mine.png", "filters/kernels/a.png",
            ".recipe.yaml.20240101", ".history.csv.12345678", "percentiles.csv", "log.csv")  # fmt: skip
    for name in mine:
        (home / "run" / name).write_text("mine")
    (home / "run" / "away").symlink_to(home)
    done = overwritten(capsys)
    assert (done.status, done.out) == (0, "run\n"), done.err
    assert done.err.startswith("dltool: run: replacing ") and done.err.count("\n") == 1
    for name in ("recipe.yaml", "model.keras", "checkpoint/state.npz", "filters/kernels"):
        assert name in done.err.split(" replacing ")[1].strip().split(", ")
    assert {name: (home / "run" / name).read_text() for name in mine} == dict.fromkeys(mine, "mine")
    assert (home / "run" / "away").is_symlink()
    assert not (home / "run" / "filters" / "kernels" / "index.html").exists(), "pictures of the old model"


@pytest.mark.parametrize("name", ["bases.json", "vocabulary/words.json", "checkpoint"])
def test_a_file_of_the_user_under_a_name_of_dltools_stops_a_training(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = home / "run" / name
    if name == "checkpoint":
        shutil.move(place, home / "elsewhere")
        place.symlink_to(home / "elsewhere")
    else:
        place.parent.mkdir(exist_ok=True)
        place.write_text("mine")
    before = snapshot(home)
    for done in (overwritten(capsys), run(capsys, "train", "run", "--resume")):
        assert done.status == 2
        assert f"run: holds files that dltool did not write: {name}. Move them" in done.err
    assert snapshot(home) == before


def test_a_recipe_edited_in_a_run_is_not_replaced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = home / "run" / "recipe.yaml"
    recipe.write_text("# Notes of mine.\n" + recipe.read_text())
    before = snapshot(home)
    refused = (overwritten(capsys), overwritten(capsys, "fit.epochs=2"),
               run(capsys, "train", "run", "fit.epochs=2", "--resume", "--accept-changes"))  # fmt: skip
    for done in refused[1:]:
        assert done.status == 2 and "recipe.yaml: was edited since dltool wrote it" in done.err
    assert refused[0].status == 0, "the same recipe but for a comment"
    assert recipe.read_text().startswith("# Notes of mine.\n")
    assert run(capsys, "train", "run", "--resume", "-q").status == 0
    assert recipe.read_text() == (home / "run" / "recipe.yaml").read_text()
    assert before.keys() == snapshot(home).keys()


@pytest.mark.parametrize("arguments", [["--overwrite"], ["fit.epochs=2", "--resume", "--accept-changes"]])
def test_runs_of_earlier_versions_and_copies_of_runs_stay_usable(
    arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "run" / MARKER).unlink()  # as before there was one
    shutil.copytree(home / "run", home / "copied")
    for name in ("run", "copied"):
        done = run(capsys, "train", name, *arguments, "-q")
        assert (done.status, done.out) == (0, f"{name}\n"), done.err
        held = json.loads((home / name / MARKER).read_text())
        assert held["kind"] == "run" and "model.keras" in held["files"]


def test_a_marker_that_lists_files_of_the_user_removes_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "precious.txt").write_text("mine")
    (home / "run" / "notes.txt").write_text("mine")
    held = json.loads((home / "run" / MARKER).read_text())
    held["files"] += ["../precious.txt", str(home / "precious.txt"), "notes.txt", "vocabulary/../notes.txt"]
    (home / "run" / MARKER).write_text(json.dumps(held))
    assert overwritten(capsys).status == 0
    assert (home / "precious.txt").read_text() == (home / "run" / "notes.txt").read_text() == "mine"


# -- nothing is touched where the status is 2 ----------------------------------------------------------------

LATE = "model.0.Conv2D.kernel_constraint={MaxNorm: ''}"  # fails in the first step


def test_a_first_step_that_fails_leaves_every_log_and_no_folder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = "fit.callbacks=[{CSVLogger: logs/log.csv}]"
    assert overwritten(capsys, log).status == 0
    before = snapshot(home)
    for place in (["--out", "run", "--overwrite"], ["--out", "new/deep/run"], []):
        done = run(capsys, "train", "quick.yaml", log, LATE, *place)
        assert done.status == 2 and "the first step fails" in done.err
        assert snapshot(home) == before
    assert run(capsys, "train", "quick.yaml", "fit.steps_per_epoch=1", "-q").out == "runs/quick\n", "not runs/quick-2"


def test_an_output_that_fails_leaves_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dltool.output.files import atomic

    before = snapshot(home)
    with pytest.raises(RuntimeError), atomic(home / "a" / "b" / "x.png"):
        raise RuntimeError
    assert snapshot(home) == before


def test_eval_leaves_out_runs_without_a_model_and_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverged = "compile.optimizer={SGD: {learning_rate: 1.0e+30}}"
    assert run(capsys, "train", "quick.yaml", diverged, "--out", "runs/diverged", "-q").status == 4
    shutil.copytree("run", "runs/good")
    done = run(capsys, "eval", "runs/diverged", "runs/good", "--format", "csv")
    assert done.status == 0, done.err
    assert [line.split(",")[0] for line in done.out.splitlines()] == ["run", "runs/good"]
    assert done.err.count("\n") == 1 and done.err.startswith("dltool: runs/diverged: has no model")
    alone = run(capsys, "eval", "runs/diverged")
    assert alone.status == 5 and "model.keras: is missing" in alone.err


# -- single files ------------------------------------------------------------------------------------------


def outputs(folder: Path) -> list[tuple[list[object], Path]]:
    return [
        (["lr-schedule", SCHEDULE, "--plot"], folder / "a.png"),
        (["lr-schedule", SCHEDULE, "--plot"], folder / "a.SVG"),
        (["summary", "quick.yaml", "--plot"], folder / "b.png"),
        (["eval", "run", "--predictions"], folder / "c.csv"),
        (["lr-find", "quick.yaml", "--steps", "30", "--write"], folder / "d.yaml"),
    ]


def test_what_dltool_wrote_is_replaced_by_name_and_what_was_changed_since_is_not(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, path in outputs(home):
        assert run(capsys, *command, path).status == 0
        assert ownership.is_output(path)
        first, link = path.read_bytes(), path.with_name("hard")
        os.link(path, link)
        done = run(capsys, *command, path, "--overwrite")
        assert done.status == 0 and f"dltool: replacing {path}\n" in done.err
        assert link.read_bytes() == first and link.stat().st_ino != path.stat().st_ino
        link.unlink()
        path.write_bytes(b"x" + path.read_bytes() + b"x")
        assert run(capsys, *command, path, "--overwrite").status == 2
        path.unlink()


def test_devices_are_written_to_and_not_replaced(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for target in ("/dev/null", "/dev/stdout"):
        done = run(capfd, "eval", "run", "--predictions", target, "--overwrite", "--format", "csv")
        assert done.status == 0, done.err
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert done.out.startswith("index,row,target,prediction,")


def test_an_input_is_no_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find = ["lr-find", "quick.yaml", "--steps", "30", "--write", "fragment.yaml"]
    assert run(capsys, *find).status == 0
    before = snapshot(home)
    again = ["lr-find", "fragment.yaml", "--steps", "30", "--write", "fragment.yaml", "--overwrite"]
    done = run(capsys, *again)
    assert done.status == 2 and "is among what the command reads" in done.err
    assert snapshot(home) == before


# -- folders of pictures -----------------------------------------------------------------------------------


def show(capsys: pytest.CaptureFixture[str], out: object) -> Done:
    return run(capsys, "visualize-filters", home_run(), "--out", out, "--overwrite")


def home_run() -> Path:
    return next(folder / "run" for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "run").is_dir())


@pytest.mark.parametrize("through", ["pics", "link", "."])
def test_pictures_are_replaced_one_by_one_in_a_folder_that_stays(
    through: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(capsys, "pics").status == 0
    (home / "link").symlink_to("pics")
    (home / "pics" / "notes.txt").write_text("mine")
    (home / "pics" / "deep").mkdir()
    (home / "pics" / "deep" / "a.png").write_text("mine")
    inode = (home / "pics").stat().st_ino
    if through == ".":
        os.chdir("pics")
    done = show(capsys, through)
    assert done.status == 0, done.err
    assert "replacing kernels-first.png, index.html, manifest.json" in done.err
    assert (home / "link").is_symlink() and (home / "pics").stat().st_ino == inode
    assert {path.name for path in (home / "pics").iterdir()} == {
        "kernels-first.png", "index.html", "manifest.json", "notes.txt", "deep"
    }  # fmt: skip
    assert (home / "pics" / "notes.txt").read_text() == (home / "pics" / "deep" / "a.png").read_text() == "mine"


def change_picture(folder: Path) -> None:
    (folder / "kernels-first.png").write_bytes(b"\x89PNG painted over")


def write_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"files": ["notes.txt"], "name": "my web application"}))


def link_manifest(folder: Path) -> None:
    shutil.move(folder / "manifest.json", folder.parent / "m.json")
    (folder / "manifest.json").symlink_to("../m.json")


@pytest.mark.parametrize("change", [change_picture, write_manifest, link_manifest])
def test_pictures_that_the_user_changed_stop_the_command(
    change: Callable[[Path], None], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(capsys, "pics").status == 0
    (home / "pics" / "notes.txt").write_text("mine")
    change(home / "pics")
    before = snapshot(home)
    assert show(capsys, "pics").status == 2
    assert snapshot(home) == before


def test_a_folder_of_pictures_of_earlier_versions_stays_usable(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, "pics").status == 0
    held = json.loads((home / "pics" / "manifest.json").read_text())
    for key in ("dltool", "kind", "sha256"):
        del held[key]
    held["files"].append("notes.png")  # the user's, or the list is damaged
    (home / "pics" / "notes.png").write_text("no picture")
    (home / "pics" / "manifest.json").write_text(json.dumps(held))
    assert show(capsys, "pics").status == 0
    assert (home / "pics" / "notes.png").read_text() == "no picture"
    assert json.loads((home / "pics" / "manifest.json").read_text())["kind"] == "pictures"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_point_stays(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mounted").mkdir()
    if os.system(f"mount -t tmpfs none {home}/mounted 2>/dev/null") != 0:
        pytest.skip("mounting is not allowed here")
    try:
        for _ in range(2):
            assert show(capsys, "mounted").status == 0
            (home / "mounted" / "notes.txt").write_text("mine")
        assert (home / "mounted" / "notes.txt").read_text() == "mine"
    finally:
        os.system(f"umount {home}/mounted")


def test_pictures_are_all_written_before_one_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture_folder.write_folder(tmp_path / "p", {"a.png": b"old", "b.png": b"old"}, {})
    before = snapshot(tmp_path)

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory.os, "fsync", no_space)
    with pytest.raises(Exception, match="The disk is full"):
        picture_folder.write_folder(tmp_path / "p", {"a.png": b"new", "c.png": b"new"}, {})
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    (tmp_path / "p" / "c.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"did not write: c\.png"):
        picture_folder.write_folder(tmp_path / "p", {"a.png": b"new", "c.png": b"new"}, {})
    assert (tmp_path / "p" / "a.png").read_bytes() == b"old"


def test_a_base_that_is_a_link_to_itself_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    for override in ("model.1={Pretrained: loop}", "procedure={Distill: loop}"):
        done = run(capsys, "train", "quick.yaml", override, "--out", "new")
        assert done.status in (2, 5) and done.err.count("\n") == 1, done
        assert not Path("new").exists()


def test_a_pipe_that_nobody_writes_into_is_not_waited_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images/a", "images/b"):
        Path(folder).mkdir(parents=True)
        os.mkfifo(f"{folder}/x.png")
    os.mkfifo("run/percentiles.csv")
    pipe = "images/a/x.png"
    size = "image_size: [8, 8], color_mode: grayscale"
    for command in (
        ["train", "quick.yaml", f"data.dataset={{ImageFolder: {{path: images, {size}}}}}", "--out", "new"],
        ["train", "quick.yaml", f"data.dataset={{ImageFolder: {{path: {pipe}, {size}}}}}", "--out", "new"],
        ["train", pipe],
        ["eval", "run", "--data", f"ImageFolder: {{path: images, {size}}}"],
        ["eval", "run", "--data", f"Npz: {{path: {pipe}}}"],
        ["visualize-filters", "run", "--mode", "activations", "--images", pipe],
        ["percentiles", "run"],
    ):
        done = run(capsys, *command)
        assert done.status in (2, 5) and done.err.count("\n") == 1, done


# -- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.batch_size=9223372036854775808", "fit.batch_size: must be at most 2147483647"),
        ("fit.epochs=2147483648", "fit.epochs: must be at most 2147483647"),
        ("procedure.Stages.0.3=1", "procedure.Stages"),
        ("procedure={Stages: [{epochs: 1, true: 2}]}", "procedure.Stages"),
        ("fit.class_weight.1={0: -1}", "must be a number from 0 to 1e+30"),
        ("fit.class_weight={1: .nan}", "must be a number from 0 to 1e+30"),
        (f"fit.class_weight={{1: 1{'0' * 400}}}", "must be a number from 0 to 1e+30"),
    ],
)
def test_numbers_out_of_range_are_one_line(
    override: str, message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, colour in enumerate(("dark", "light")):
        Path("images", colour).mkdir(parents=True)
        for number in range(4):
            from PIL import Image

            Image.fromarray(np.full((8, 8), 20 * number + 100 * index, np.uint8)).save(f"images/{colour}/{number}.png")
    data = "data.dataset={ImageFolder: {path: images, image_size: [8, 8], color_mode: grayscale}}"
    done = run(capsys, "train", "quick.yaml", data, "model.2=Dense: 2", override, "--out", "new")
    assert done.status == 2 and message in done.err, done
    assert done.err.count("\n") == 1
    assert not Path("new").exists()
