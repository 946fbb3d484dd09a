"""dltool pretrained: what it refuses, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import run


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("EfficientNetLight0", "EfficientNetLight0: there is no net of this name. Did you mean 'EfficientNetLite0'?"),
        ("GoogLeNet", "GoogLeNet: is no net with weights of ImageNet."),
        ("Seq2Seq", "Seq2Seq: is no net with weights of ImageNet."),
    ],
)
def test_a_name_without_weights_of_imagenet_is_one_line_and_status_2(
    tmp_path: Path, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "pretrained", name, "--out", tmp_path / "run")
    assert (done.status, done.out, done.err) == (2, "", f"dltool: {line}\n")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_dltool_did_not_write_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run(capsys, "pretrained", "EfficientNetLite0", "--out", tmp_path)
    assert done.status == 2 and "Use --overwrite to replace it, or another --out." in done.err
    done = run(capsys, "pretrained", "EfficientNetLite0", "--out", tmp_path, "--overwrite")
    assert done.status == 2 and done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
