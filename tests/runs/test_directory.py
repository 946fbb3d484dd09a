"""The run directory: files whole or not at all, names that are free, locks, damage told in one line."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dltool.errors import DataError, DltoolError, UsageError
from dltool.output.ownership import MARKER
from dltool.runs import directory
from dltool.runs.directory import DISCRIMINATOR, RunDirectory


def no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path)
    run.write_text("recipe.yaml", "old")
    monkeypatch.setattr(directory.os, "fsync", no_space)
    with pytest.raises(DltoolError, match=r"recipe.yaml: cannot be written: .* free some") as failed:
        run.write_text("recipe.yaml", "new")
    assert failed.value.status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, "recipe.yaml"]
    assert (run / "recipe.yaml").read_text() == "old"


def test_a_model_that_cannot_be_saved_keeps_the_old_one_and_leaves_no_other(tmp_path: Path) -> None:
    class Model:
        def save(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(  # as HDF5 words it, without errno
                "Unable to synchronously create file (unable to write, errno = 28, error message = 'No')"
            )

    (tmp_path / directory.MODEL).write_bytes(b"whole")
    with pytest.raises(DltoolError, match=r"model.keras: cannot be written: .*The disk is full"):
        RunDirectory(tmp_path).save_model(Model())
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, directory.MODEL]
    assert (tmp_path / directory.MODEL).read_bytes() == b"whole"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full_is_named(tmp_path: Path) -> None:
    if os.system(f"mount -t tmpfs -o size=64k none {tmp_path} 2>/dev/null") != 0:
        pytest.skip("mounting is not allowed here")
    try:
        run = RunDirectory(tmp_path)
        run.save_state({"weights": np.zeros(1000)}, {"epoch": 1})
        with pytest.raises(DltoolError, match="The disk is full"):
            run.save_state({"weights": np.zeros(100_000)}, {"epoch": 2})
        assert run.load_state()[1] == {"epoch": 1}
        assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["state.npz"]
    finally:
        os.system(f"umount {tmp_path}")


def test_default_names_count_up_and_a_claimed_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [str(RunDirectory.claimed("lenet5")) for _ in range(3)]
    assert names == ["runs/lenet5", "runs/lenet5-2", "runs/lenet5-3"]
    assert str(RunDirectory.fresh("lenet5")) == "runs/lenet5-4"


def test_a_second_training_in_one_directory_is_refused(tmp_path: Path) -> None:
    first, second = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
    with first.locked():
        first.write_text(directory.RECIPE, "x")
        with pytest.raises(UsageError, match="another dltool train is running in it"), second.locked():
            pass
    with second.locked():  # free again
        pass


def test_a_directory_made_for_nothing_goes_away_but_one_of_the_user_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for path in (mine, tmp_path / "new"):
        with pytest.raises(RuntimeError), RunDirectory(path).locked():
            raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_overwriting_removes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_recipe("x: 1\n")
    run.save_state({"a": np.zeros(1)}, {})
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint" / "best.pt").write_text("mine")
    again = RunDirectory(tmp_path)
    again.check_free(overwrite=True)
    again.start()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["best.pt", "checkpoint", MARKER, "notes.txt"]


def test_overwriting_removes_the_discriminator_of_a_run_and_leaves_that_of_the_user(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.write_recipe("x: 1\n")
    run.save_model(SimpleNamespace(save=lambda path: Path(path).write_bytes(b"x")), DISCRIMINATOR)
    again = RunDirectory(run.path)
    again.start()
    assert not (run / DISCRIMINATOR).exists()
    again.write_recipe("x: 1\n")
    (run / DISCRIMINATOR).write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"dltool did not write: discriminator\.keras"):
        RunDirectory(run.path).check_free(overwrite=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("x"), r"out: is a file\. Give another --out\."),
        (lambda path: path.parent.joinpath("out").mkdir(), None),
    ],
    ids=["file", "empty folder"],
)
def test_where_a_run_may_go(tmp_path: Path, make, message: str | None) -> None:
    make(tmp_path / "out")
    if message is None:
        RunDirectory(tmp_path / "out").check_free(overwrite=False)
    else:
        with pytest.raises(UsageError, match=message):
            RunDirectory(tmp_path / "out").check_free(overwrite=True)


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"file is a file, no folder\. Give another --out\."):
        RunDirectory(tmp_path / "file" / "run").check_free(overwrite=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["unreadable", "unwritable"])
def test_a_place_without_permission_is_refused(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(mode)
        os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match=r"no permission .* Give another --out\."):
                RunDirectory(Path(folder) / "a" / "run").check_free(overwrite=False)
        finally:
            os.seteuid(0)


def test_a_state_reads_back_bit_for_bit_in_every_type(tmp_path: Path) -> None:
    import ml_dtypes

    generator = np.random.default_rng(0)
    arrays = {
        "float32": generator.normal(size=(3, 4)).astype("float32"),
        "bfloat16": generator.normal(size=5).astype(ml_dtypes.bfloat16),
        "int64": np.arange(3),
        "bool": np.array(True),
    }
    run = RunDirectory(tmp_path)
    run.save_state(arrays, {"value": np.float32(0.5), "none": None})
    found, plain = run.load_state()
    assert plain == {"value": 0.5, "none": None}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize("kept", [0, 10, 200, -30])
def test_a_truncated_state_is_named(tmp_path: Path, kept: int) -> None:
    run = RunDirectory(tmp_path)
    run.save_state({"a": np.arange(1000.0)}, {})
    state = tmp_path / directory.STATE
    state.write_bytes(state.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"state.npz: is damaged \(.*\)\. Train again with --overwrite\."):
        run.load_state()


def test_rows_of_different_figures_share_one_header(tmp_path: Path) -> None:
    directory.write_rows(tmp_path / "h.csv", [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "val_loss": 3.0}])
    assert (tmp_path / "h.csv").read_text() == "epoch,loss,val_loss\n1,2.0,\n2,1.0,3.0\n"
