"""A run that another is trained from (a teacher, a pre-trained base) is not replaced by that training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command_line import QUICK, run, trained, write_quick


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `runs/wise`, trained once."""
    folder = tmp_path_factory.mktemp("bases")
    trained(write_quick(folder), "fit.epochs=1", "--out", folder / "runs" / "wise")
    return folder


@pytest.fixture
def here(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, entered."""
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("override", "how", "place"),
    [
        ("procedure={Distill: runs/wise}", "--overwrite", "procedure.Distill"),
        ("procedure={Distill: {teacher: link/model.keras}}", "--overwrite", "procedure.Distill"),
        ("procedure={Distill: runs/../runs/wise}", "--resume", "procedure.Distill"),
        ("model=[{Pretrained: runs/wise}, {Dense: 10}]", "--overwrite", "model[0].Pretrained"),
        ("model=[{Pretrained: {source: link, up_to: dense}}, {Dense: 10}]", "--overwrite", "model[0].Pretrained"),
    ],
    ids=["teacher", "teacher's file by a link", "teacher on resume", "base", "base by a link"],
)
def test_a_run_is_not_replaced_by_what_is_trained_from_it(
    here: Path, capsys: pytest.CaptureFixture[str], override: str, how: str, place: str
) -> None:
    Path("link").symlink_to("runs/wise")
    before = contents(here / "runs" / "wise")
    arguments = [how, "--accept-changes"] if how == "--resume" else [how]
    done = run(capsys, "train", "quick.yaml", override, "--out", "runs/wise", *arguments)
    last = done.err.splitlines()[-1]
    assert done.status == 2, done.err
    assert place in last and "runs/wise, which this training replaces: give another --out" in last
    assert all(line.startswith("dltool: changed since: ") for line in done.err.splitlines()[:-1])
    assert contents(here / "runs" / "wise") == before


def test_variance_scaling_replaces_no_base(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(here / "runs" / "wise")
    override = "model=[{Pretrained: runs/wise}, {Dense: 10}]"
    done = run(capsys, "lsuv", "quick.yaml", override, "--out", "runs/wise", "--overwrite")
    assert done.status == 2, done.err
    assert "runs/wise, which this training replaces" in done.err
    assert contents(here / "runs" / "wise") == before


def test_a_file_beside_those_of_the_run_stays_and_may_be_a_base(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("runs/wise/model.keras", "runs/wise/first.keras")
    override = "model=[{Pretrained: runs/wise/first.keras}, {Dense: 10}]"
    done = run(capsys, "train", "quick.yaml", override, "fit.epochs=1", "--out", "runs/wise", "--overwrite", "-q")
    assert done.status == 0, done.err
    assert Path("runs/wise/first.keras").is_file()


@pytest.mark.parametrize("name", ["half.keras", "half.weights.h5"])
def test_a_damaged_base_is_named_in_one_line(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import keras

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(300)])
    whole = Path(name.replace("half", "whole"))
    model.save(whole) if name.endswith(".keras") else model.save_weights(whole)
    Path(name).write_bytes(whole.read_bytes()[:20000])
    layers = ", layers: [Flatten, {Dense: 300}]" if name.endswith(".h5") else ""
    write_quick(here, "tuned.yaml", QUICK.replace("  - Rescaling: 0.0625\n  - Flatten\n",
                                                  f"  - Pretrained: {{source: {name}{layers}}}\n"))  # fmt: skip
    done = run(capsys, "train", "tuned.yaml", "--out", "tuned")
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert "tuned.yaml:6" in done.err and name in done.err
    assert not Path("tuned").exists()
