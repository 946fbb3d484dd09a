"""dltool predict: answers to new examples equal those of eval on the same ones, whatever kind of input they come as."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dltool.errors import UsageError
from tests.command_line import run

EARLIER = Path(__file__).parents[1] / "runs/earlier"  # runs of digits and of translations
TABLE = """\
data:
  dataset: {{Csv: {{path: {path}, target: price, missing: [], fill: {{size: mean}}}}}}
  test_split: 0.25
model:
  - FeatureSpace: {{features: {{size: float_normalized, colour: string_categorical}}, output_mode: concat}}
  - Dense: 1
compile: {{optimizer: {{SGD: 0.1}}, loss: mse}}
fit: {{epochs: 2, batch_size: 16}}
seed: 1
"""
LANGUAGE = """\
data: {{dataset: {{TextFile: {{path: {path}, sequence_length: 8}}}}, validation_split: 0.2}}
model:
  - Embedding: {{input_dim: "${{data.vocabulary_size}}", output_dim: 4}}
  - GRU: {{units: 8, return_sequences: true}}
  - Dense: "${{data.vocabulary_size}}"
compile: {{optimizer: adam, loss: {{SparseCategoricalCrossentropy: {{from_logits: true}}}}}}
fit: {{epochs: 1, batch_size: 4}}
seed: 1
"""


def rows(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype={"prediction": str}, keep_default_na=False)


@pytest.fixture(scope="module")
def test_images() -> np.ndarray:
    """The digits of the run's test split as they are stored, 0 to 16, (360, 8, 8, 1)."""
    from dltool.library.datasets.digits import Digits
    from dltool.runs.opened import OpenedRun

    data = OpenedRun(EARLIER / "digits").data
    assert isinstance(data.dataset, Digits)
    return np.concatenate([x.numpy() for x, _ in data.pipeline("test", 512).batches()])


@pytest.fixture
def evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> pd.DataFrame:
    file = tmp_path / "evaluated.csv"
    done = run(capsys, "eval", EARLIER / "digits", "--predictions", file)
    assert done.status == 0, done.err
    return rows(file.read_text())


def test_arrays_get_the_answers_of_eval(
    test_images: np.ndarray, evaluated: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "new.npz", x=test_images)
    done = run(capsys, "predict", EARLIER / "digits", tmp_path / "new.npz", "--probabilities", "--batch-size", 100)
    assert done.status == 0, done.err
    found = rows(done.out)
    assert [*found.columns] == ["row", "prediction", *(f"probability_{digit}" for digit in range(10))]
    assert found["row"].tolist() == list(range(360))
    assert found["prediction"].tolist() == evaluated["prediction"].tolist()
    for digit in range(10):
        np.testing.assert_allclose(found[f"probability_{digit}"], evaluated[f"probability_{digit}"], atol=1e-6)


def test_pictures_of_any_size_are_named_in_their_order(
    test_images: np.ndarray, evaluated: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """8 x 8 digits of 0 to 16, saved as bytes and twice as large, come back nearly as they were."""
    folder = tmp_path / "scans/deep"
    folder.mkdir(parents=True)
    for index, image in enumerate(test_images[:30]):
        pixels = np.rint(image[..., 0] * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16), Image.Resampling.NEAREST).save(folder / f"{index:02}.png")
    done = run(capsys, "predict", EARLIER / "digits", tmp_path / "scans", "--top", 3)
    assert done.status == 0, done.err
    found = rows(done.out)
    assert [*found.columns] == ["file", "prediction", "probability", "prediction_2", "probability_2",
                                "prediction_3", "probability_3"]  # fmt: skip
    assert found["file"].tolist() == [str(folder / f"{index:02}.png") for index in range(30)]
    assert (found["prediction"] == evaluated["prediction"][:30]).mean() > 0.9
    assert (found["probability"] >= found["probability_2"]).all()
    shown = run(capsys, "predict", EARLIER / "digits", folder / "00.png", "--format", "table")
    assert "prediction" in shown.out and str(folder / "00.png") in shown.out
    pattern = run(capsys, "predict", EARLIER / "digits", f"{folder}/0*.png", "--top", 3)
    assert rows(pattern.out).equals(found[:10])
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"in/{path.name}")
    packed = rows(run(capsys, "predict", EARLIER / "digits", tmp_path / "scans.zip").out)
    assert packed["file"][0] == str(tmp_path / "scans.zip/in/00.png")
    assert packed["prediction"].tolist() == found["prediction"].tolist()


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "c.png"):
        Image.new("L", (8, 8), 200).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    done = run(capsys, "predict", EARLIER / "digits", tmp_path, tmp_path / "none.png", "--format", "json")
    assert done.status == 5
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [Path(one["file"]).name for one in answers] == ["a.png", "c.png"]
    assert f"dltool: {tmp_path / 'b.png'}: is no readable image" in done.err
    assert f"dltool: {tmp_path / 'none.png'}: there is no such file or folder." in done.err
    assert done.err.endswith("dltool: 2 of 4 inputs could not be read and were left out\n")


def test_what_holds_no_pictures_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("empty", "notes", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes/a.txt").write_text("x")
    Image.new("L", (8, 8), 200).save(tmp_path / "pictures/a.png")
    for name in ("empty", "notes"):
        done = run(capsys, "predict", EARLIER / "digits", tmp_path / name)
        assert done.status == 5 and f"dltool: {tmp_path / name}: holds no pictures" in done.err
    done = run(capsys, "predict", EARLIER / "digits", tmp_path / "empty", tmp_path / "pictures")
    assert done.status == 5 and len(rows(done.out)) == 1
    pattern = run(capsys, "predict", EARLIER / "digits", f"{tmp_path}/*")  # files beside folders without pictures
    assert len(rows(pattern.out)) == 1 and pattern.status == 0, pattern.err


def test_several_runs_answer_with_the_mean_of_their_probabilities(
    test_images: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    other = tmp_path / "other"
    shutil.copytree(EARLIER / "digits", other)
    model = keras.models.load_model(other / "model.keras")
    random = np.random.default_rng(0)
    model.set_weights([weight + random.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    model.save(other / "model.keras")
    np.save(tmp_path / "x.npy", test_images[:20])
    tables = [
        rows(run(capsys, "predict", *runs, tmp_path / "x.npy", "--probabilities").out)
        for runs in ([EARLIER / "digits"], [other], [EARLIER / "digits", other])
    ]
    first, second, both = (table.iloc[:, 2:].to_numpy() for table in tables)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dltool.recipe import reading
    from dltool.runs import train

    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=80).round(3), "colour": rng.choice(["red", "NA"], 80)})
    frame["price"] = (frame["size"] * 2 + (frame["colour"] == "red")).round(3)
    frame.to_csv(folder / "train.csv", index=False)
    (folder / "table.yaml").write_text(TABLE.format(path=folder / "train.csv"))
    return train.train(reading.load(folder / "table.yaml"), out=folder / "run").run.path


def test_rows_without_a_target_get_the_answers_of_eval(
    table_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "note,colour,size,price\nx,red,0.5,1\ny,NA,,2\nz,red,-1e0,3\n"
    (tmp_path / "with.csv").write_text(text)
    done = run(capsys, "eval", table_run, "--data", f"Csv: {{path: {tmp_path / 'with.csv'}}}",
               "--predictions", tmp_path / "p.csv")  # fmt: skip
    assert done.status == 0, done.err
    expected = pd.read_csv(tmp_path / "p.csv")["prediction"]
    new = "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()) + "\n"
    (tmp_path / "new.csv").write_text(new)
    found = pd.read_csv(io.StringIO(run(capsys, "predict", table_run, tmp_path / "new.csv").out))
    assert [*found.columns] == ["row", "prediction"]
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-6)
    (tmp_path / "other.csv").write_text(new.replace(",", ";"))
    other = f"Csv: {{path: {tmp_path / 'other.csv'}, separator: ';'}}"
    assert run(capsys, "predict", table_run, "--data", other).out == found.to_csv(index=False, lineterminator="\n")
    named = run(capsys, "predict", table_run, "--data", f"Csv: {{path: {tmp_path / 'new.csv'}}}")
    assert named.out == found.to_csv(index=False, lineterminator="\n")
    stream: Any = io.TextIOWrapper(io.BytesIO(new.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run(capsys, "predict", table_run).out == named.out


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("Csv: {path: FILE, seperator: ';', tarrget: q}", ["'seperator'. Did you mean 'separator'?", "'tarrget'. Did"]),
        ("ImageFolder: {path: FILE}", ["answers rows of a table, these are pictures."]),
        ("Digits", ["Digits reads no new examples. Use "]),
        ("Csv: {path: FILE, test_path: FILE}", ["'test_path' is not read, only 'path'."]),
        ("Csv: none.csv", ["No file none.csv: check the 'path' parameter of Csv."]),
    ],
)
def test_data_in_a_recipes_words_are_checked_as_a_recipe_is(
    data: str, lines: list[str], table_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("size,colour\n1,red\n")
    done = run(capsys, "predict", table_run, "--data", data.replace("FILE", str(tmp_path / "new.csv")))
    assert (done.status, done.out) == (2, "")
    assert all(line in done.err for line in lines) and done.err.count("\n") == len(lines), done.err


def test_json_keeps_small_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.cli import predict

    predict._write(iter([pd.DataFrame({"probability": [1.5e-11, 0.1, 2.5e-20]})]), predict.Format.json)
    found = [json.loads(line)["probability"] for line in capsys.readouterr().out.splitlines()]
    assert found == [pytest.approx(1.5e-11, abs=1e-15), 0.1, pytest.approx(2.5e-20, abs=1e-15)]


def test_coco_results_are_one_array_whatever_the_batches_hold(capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.cli import predict
    from dltool.tasks import base

    tables = [pd.DataFrame({"a": values}) for values in ([], [1, 2], [], [3])]
    predict._write(iter(tables), predict.Format.coco)
    assert json.loads(capsys.readouterr().out) == [{"a": 1}, {"a": 2}, {"a": 3}]
    predict._write(iter(tables[:1]), predict.Format.coco)
    assert json.loads(capsys.readouterr().out) == []
    predict._write(iter(tables), predict.Format.csv)
    assert capsys.readouterr().out == "a\n1\n2\n3\n"
    with pytest.raises(UsageError, match="--format coco: means nothing for classification"):
        base.find("classification").coco_results([], {})


def test_a_row_that_cannot_be_read_is_left_out(
    table_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["size,colour", *(f"{index},red" for index in range(1000))]
    lines[501] = "many,red"
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    done = run(capsys, "predict", table_run, tmp_path / "new.csv")
    assert done.status == 5
    assert rows(done.out)["row"].tolist() == [row for row in range(1000) if row != 500]
    assert "row 500" in done.err and "'many'" in done.err and "1 of 1000 inputs" in done.err


def test_a_column_that_is_not_there_is_named(
    table_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("size,color\n1,red\n")
    done = run(capsys, "predict", table_run, tmp_path / "new.csv")
    assert (done.status, done.out) == (5, "")
    assert "there is no column 'colour'. Did you mean 'color'?" in done.err


def test_lines_are_translated_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines.txt").write_text("twelve\n\nthirty-four\n")
    done = run(capsys, "predict", EARLIER / "words", tmp_path / "lines.txt", "--to", "fr")
    assert done.status == 0, done.err
    found = rows(done.out)
    assert found["line"].tolist() == [1, 2, 3]
    arguments = ("--to", "fr", "--input", tmp_path / "lines.txt", "--scores")
    translated = [line.split("\t") for line in run(capsys, "translate", EARLIER / "words", *arguments).out.splitlines()]
    assert found["prediction"].tolist() == [text for *_, text in translated]
    for row in (0, 2):
        assert float(found["score"][row]) == pytest.approx(float(translated[row][-2]), abs=1e-4)
    unclear = run(capsys, "predict", EARLIER / "words", tmp_path / "lines.txt")
    assert unclear.status == 2 and "--to" in unclear.err


def test_a_translation_is_that_of_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the same sentences in batches of other sizes, by two runs together."""
    from dltool.runs.opened import OpenedRun

    runs = [EARLIER / "words"] * 2
    done = run(capsys, "eval", *runs, "--predictions", tmp_path / "p.csv")
    assert done.status == 0, done.err
    judged = rows((tmp_path / "p.csv").read_text())
    assert [*judged] == ["index", "direction", "line", "target", "prediction", "score"]
    data = OpenedRun(EARLIER / "words").data
    lines = data.dataset.lines(data.splits["test"].part)  # type: ignore[attr-defined]
    assert judged["direction"].unique().tolist() == [*data.facts["directions"], *data.facts["zero_shot"]]
    direction = judged["direction"][0]
    source, target = direction.split("-")
    own = judged[judged["direction"] == direction].reset_index(drop=True)
    assert own["target"].tolist() == lines[target]
    (tmp_path / "lines.txt").write_text("\n".join(lines[source]) + "\n")
    new = rows(run(capsys, "predict", *runs, tmp_path / "lines.txt", "--to", target, "--batch-size", 7).out)
    assert new["prediction"].tolist() == own["prediction"].tolist()
    np.testing.assert_allclose(new["score"], own["score"], rtol=1e-4)


def test_a_line_that_is_no_utf8_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines.txt").write_bytes(b"twelve\nthirty\xff\nfour\n")
    done = run(capsys, "predict", EARLIER / "words", tmp_path / "lines.txt", "--to", "fr")
    assert done.status == 5 and rows(done.out)["line"].tolist() == [1, 3]
    assert f"{tmp_path}/lines.txt:2: is no UTF-8" in done.err and "1 of 3 inputs" in done.err


def test_the_next_tokens_of_lines_are_those_of_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the lines of the test split; the target is the line's end."""
    from dltool.runs.opened import OpenedRun

    (tmp_path / "text.txt").write_text("the cat sat on the mat.\nthe dog sat too.\n" * 20)
    (tmp_path / "language.yaml").write_text(LANGUAGE.format(path=tmp_path / "text.txt"))
    assert run(capsys, "train", tmp_path / "language.yaml", "--out", tmp_path / "run", "-q").status == 0
    done = run(capsys, "eval", tmp_path / "run", "--predictions", tmp_path / "p.csv")
    assert done.status == 0, done.err
    judged = rows((tmp_path / "p.csv").read_text())
    data = OpenedRun(tmp_path / "run").data
    text = data.dataset.text(data.splits["test"].part)  # type: ignore[attr-defined]
    (tmp_path / "lines.txt").write_text(text)
    new = rows(run(capsys, "predict", tmp_path / "run", tmp_path / "lines.txt").out)
    assert new["line"].tolist() == judged["line"].tolist() == list(range(1, len(text.splitlines()) + 1))
    assert [*judged] == ["index", "line", "target", *[*new][1:]]
    assert judged["target"].tolist() == ["\n"] * text.count("\n") + [""] * (not text.endswith("\n"))
    for name in ("prediction", "probability", "log_probability", "tokens"):
        assert new[name].tolist() == judged[name].tolist()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere", "x.png"], "nowhere: no such run directory"),
        ([EARLIER / "digits", "x.png", "--data", "Csv: {path: new.csv}"], "--data: there are inputs already (x.png)"),
        ([EARLIER / "digits", "-"], "-: pictures and arrays are not read from standard input"),
        ([EARLIER / "digits", "x.png", "--out", "masks"], "--out: means nothing for classification. Leave it out."),
        ([EARLIER / "words", "x.txt", "--probabilities"], "--probabilities: means nothing for translation."),
        ([EARLIER / "words", "--data", "Csv: {path: new.csv}"], "--data: runs of text answer lines."),
        ([EARLIER / "digits", EARLIER / "words", "x.png"], "was trained on other data than"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[Any], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "predict", *arguments)
    assert done.status in (2, 5) and done.out == ""
    assert line in done.err and done.err.count("\n") == 1


def test_runs_of_different_tasks_give_no_table_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", EARLIER / "digits", EARLIER / "words", "--predictions", tmp_path / "p.csv")
    assert done.status == 2 and not (tmp_path / "p.csv").exists()
    assert f"--predictions: {EARLIER / 'words'} and {EARLIER / 'digits'} are of different tasks." in done.err


@pytest.mark.slow
def test_a_long_table_takes_no_more_memory_than_a_short_one(table_run: Path, tmp_path: Path) -> None:
    """20,000 rows against 500,000, in processes of their own."""
    peaks = []
    for count in (20_000, 500_000):
        (tmp_path / "new.csv").write_text("size,colour\n" + "0.25,red\n" * count)
        code = (
            "import resource, sys\nfrom dltool.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
            "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        command = [sys.executable, "-c", code, "predict", str(table_run), str(tmp_path / "new.csv")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.count("\n") == count + 1
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < 1.15 * peaks[0]


@pytest.mark.slow
def test_ten_thousand_images_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    """In processes of their own."""
    peaks = []
    for count in (1_000, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            Image.new("L", (16, 16), number % 256).save(folder / f"{number:05}.png")
        code = (
            "import resource, sys\nfrom dltool.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
            "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        command = [sys.executable, "-c", code, "predict", str(EARLIER / "digits"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.count("\n") == count + 1
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0], peaks
