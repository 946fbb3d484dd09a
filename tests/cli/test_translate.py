"""dltool translate: as many lines out as in, figures, alignments, ensembles, refusals."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.recipe import catalogue
from tests.command_line import Done, run, spawn

LINES = "twelve\n\n \tnine hundred\tand\x0bone 🦓\r\nforty-two\n"


EARLIER = Path(__file__).parents[1] / "runs/earlier"  # runs of digits and of translations


@pytest.fixture(scope="module")
def run_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run with random weights, so large that its translations differ from line to line."""
    import keras

    path = shutil.copytree(EARLIER / "words", tmp_path_factory.mktemp("translate") / "run")
    catalogue.import_saved_objects()
    model, random = keras.models.load_model(path / "model.keras"), np.random.default_rng(4)
    model.set_weights([random.normal(0, 0.7, w.shape) if w.dtype.kind == "f" else w for w in model.get_weights()])
    model.save(path / "model.keras")
    return path


@pytest.fixture
def translate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """dltool translate of standard input."""

    def call(*arguments: object, lines: str | bytes = LINES) -> Done:
        from dltool.cli import translate as command

        data = lines.encode() if isinstance(lines, str) else lines
        monkeypatch.setattr(command, "open", lambda *_, **__: io.BytesIO(data), raising=False)
        return run(capsys, "translate", *arguments)

    return call


PLAIN: dict[Path, Done] = {}


@pytest.fixture
def whole(run_: Path, translate: Any) -> Done:
    """LINES in French, translated once for all tests."""
    if run_ not in PLAIN:
        PLAIN[run_] = translate(run_, "--to", "fr", "--batch-size", "2")
    return PLAIN[run_]


def test_every_line_has_its_line_and_blank_ones_stay_blank(run_: Path, translate: Any, whole: Done) -> None:
    assert whole.status == 0 and whole.err == "", whole.err
    lines = whole.out.split("\n")
    assert len(set(lines)) == 4, "it says the same of every line"
    assert len(lines) == 5 and lines[1] == "" == lines[4] and all(lines[i] for i in (0, 2, 3))
    again = translate(run_, "forty-two", "--to", "fr")
    assert again.out == f"{lines[3]}\n"
    assert translate(run_, "--to", "fr", lines=LINES.removesuffix("\n")).out == whole.out
    assert translate(run_, "--to", "fr", lines="").out == ""
    assert translate(run_, "", "--to", "fr").out == "\n"


def test_columns_of_scores_and_several_translations(run_: Path, translate: Any, whole: Done, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(LINES)
    plain = whole.out.split("\n")
    done = translate(run_, "--to", "fr", "--input", tmp_path / "in.txt", "--n-best", "3", "--scores")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[0] for row in rows] == [*"111", "2", *"333", *"444"]
    assert [row[2] for row in rows if row[0] == "4"][0] == plain[3]
    scores = [float(row[1]) for row in rows if row[0] == "1"]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0
    assert rows[3] == ["2", "0.0000", ""]


def test_a_line_that_is_too_long_is_cut_and_named(run_: Path, translate: Any) -> None:
    done = translate(run_, "--to", "fr", "--max-length", "4", lines="one\n" + "two " * 40_000 + "\nthree\n")
    assert done.status == 0
    assert len(done.out.split("\n")) == 4
    assert done.err == "dltool: standard input:2: is too long and was cut\n"


def test_lines_before_broken_bytes_are_translated(run_: Path, translate: Any) -> None:
    done = translate(run_, "--to", "fr", lines=b"one\ntwo\n\xff\xfe\nfour\n")
    assert done.status == 5
    assert len(done.out.splitlines()) == 2
    assert done.err == "dltool: standard input:3: is no UTF-8 (byte 0xFF). Convert it to UTF-8.\n"


def test_references_give_the_figures_of_sacrebleu_on_stderr(
    run_: Path, translate: Any, whole: Done, tmp_path: Path
) -> None:
    import sacrebleu

    twelve = whole.out.split("\n")[0]
    sources = ["twelve", "one", "nine hundred and ninety-nine", "six hundred and sixty-six"]
    references = [twelve, f"{twelve} un", "neuf cent quatre-vingt-dix-neuf", "six cent soixante-six"]
    (tmp_path / "ref.fr").write_text("".join(f"{line}\n" for line in references))
    text = "".join(f"{line}\n" for line in sources)
    options = (run_, "--to", "fr", "--reference", tmp_path / "ref.fr", "--by-length")
    done = translate(*options, "--format", "json", lines=text)
    assert done.status == 0, done.err
    report, found = json.loads(done.err), done.out.splitlines()
    assert found[0] == twelve and len(found) == 4
    assert report["scores"][0]["bleu"] == pytest.approx(sacrebleu.corpus_bleu(found, [references]).score)
    assert report["scores"][0]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(found, [references]).score)
    assert report["scores"][0]["exact_match"] == sum(map(str.__eq__, found, references)) / 4 > 0
    assert report["lengths"][0]["source_words"] == "1 to 5" and report["lengths"][0]["sentences"] == 4
    assert {row["metric"] for row in report["signatures"]} == {"bleu", "chrf"}
    assert all("version:" in row["signature"] for row in report["signatures"])
    people = translate(*options, lines=text)
    assert people.out.splitlines() == found and "bleu" in people.err
    short = translate(*options, lines="one\n")
    assert short.status == 5 and short.err.endswith(
        "ref.fr: has 4 lines, standard input has 1. Give a reference for each line.\n"
    )


def test_eval_gives_the_same_figures(
    run_: Path, translate: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from dltool.recipe import build, reading
    from dltool.recipe.data import Data
    from dltool.runs import directory as runs
    from dltool.runs import resume
    from dltool.runs.directory import RunDirectory

    directory = RunDirectory(run_)
    one = reading.load(run_ / runs.RECIPE)
    data = Data.of(one, build.dataset(one.section("data", "dataset")), resume.own_vocabulary(directory))
    lines = data.dataset.lines("test")
    sources, references, language = lines["fr"], lines["en"], data.dataset.told("en")
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in references))
    done = translate(
        run_, "--to", language, "--reference", tmp_path / "ref", "--format", "json", lines="\n".join(sources)
    )
    expected = json.loads(done.err)["scores"][0]
    report = json.loads(run(capsys, "eval", run_, "--format", "json").out)
    rows = {row["direction"]: row for row in report["directions"]}
    for figure in ("bleu", "chrf", "exact_match"):
        assert rows["fr-en"][figure] == pytest.approx(expected[figure])
        mean = (rows["fr-en"][figure] + rows["en-fr"][figure]) / 2
        assert report["scores"][0][figure] == pytest.approx(mean)


def test_alignments_are_written_and_drawn(run_: Path, translate: Any, tmp_path: Path) -> None:
    from PIL import Image

    options = (run_, "--to", "fr", "--attention", tmp_path / "a")
    done = translate(*options, "--show-attention", lines="forty-two\n\nten $1\n")
    assert done.status == 0, done.err
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "000001.json", "000001.png", "000003.json", "000003.png"
    ]  # fmt: skip
    told = json.loads((tmp_path / "a" / "000001.json").read_text())
    assert told["line"] == 1 and told["source"][0] == "<2fr>" and told["source"][-1] == "</s>"
    assert "".join(told["source"][1:-1]).replace("▁", " ").strip() == "forty-two"
    assert len(told["attention"]) == len(told["target"])
    for row in told["attention"]:
        assert len(row) == len(told["source"]) and sum(row) == pytest.approx(1, abs=1e-4)
    assert Image.open(tmp_path / "a" / "000003.png").size[0] > 100
    shown = done.err.splitlines()
    assert any(set(line) & set("░▒▓█") for line in shown)
    refused = translate(*options)
    assert refused.status == 2 and "is not empty. Use --overwrite" in refused.err


def test_a_run_with_itself_decodes_as_it_does_alone(run_: Path, translate: Any, tmp_path: Path) -> None:
    alone = translate(run_, "--to", "en", lines="douze\nquarante-deux\n").out
    assert translate(run_, run_, "--to", "en", lines="douze\nquarante-deux\n").out == alone
    other = shutil.copytree(run_, tmp_path / "other")
    facts = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps(facts | {"directions": ["fr-en"]}))
    done = translate(run_, other, "--to", "en")
    assert done.status == 2 and "has another vocabulary or other directions than" in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["RUN"], 2, "--to: the run translates into fr, en. Say which."),
        (["RUN", "--to", "de"], 2, "--to de: the run translates into fr, en"),
        (["RUN", "--to", "fr", "--n-best", "9"], 2, "--n-best 9: needs a --beam-size of as many at least, it is 5"),
        (["RUN", "--to", "fr", "--beam-size", "5000"], 2, "must be at most half of"),
        (["RUN", "--to", "fr", "--by-length"], 2, "--by-length needs --reference"),
        (["RUN", "--to", "fr", "--reference", "no.txt"], 2, "--reference no.txt: there is no such file."),
        (["RUN", "--to", "fr", "--input", "no.txt"], 2, "--input no.txt: there is no such file."),
        (["RUN", "one", "--input", "no.txt"], 2, "--input no.txt: there is a text already ('one')"),
        (["RUN", "runs/other", "--to", "fr"], 2, "runs/other: there is no such run."),
        (["nowhere"], 5, "nowhere: no such run directory"),
    ],
)
def test_what_does_not_fit_is_one_line(
    run_: Path, translate: Any, arguments: list[str], status: int, said: str
) -> None:
    done = translate(*(str(run_) if one == "RUN" else one for one in arguments))
    assert done.status == status and done.out == ""
    assert said in done.err and done.err.count("\n") == 1


def test_a_run_that_does_not_translate_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "translate", EARLIER / "digits", "one")
    assert done.status == 5
    assert done.err.endswith("was not trained to translate (ParallelText and NumberWords are such data)\n")


def test_a_process_answers_each_line_as_it_comes(run_: Path) -> None:
    process = spawn("translate", run_, "--to", "fr", "--beam-size", "1", stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    answers = []
    for text in ("one\n", "\n", "two hundred\n"):
        process.stdin.write(text)
        process.stdin.flush()
        answers.append(process.stdout.readline())  # the next line is not written before
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    assert answers[1] == "\n" and all(answer.endswith("\n") for answer in answers)
    assert process.stdout.read() == ""


@pytest.mark.slow
def test_a_stream_of_a_hundred_thousand_lines_takes_no_more_memory_than_a_short_one(run_: Path) -> None:
    peaks = [lines_and_peak(run_, count) for count in (100, 100_000)]
    assert [lines for lines, _ in peaks] == [100, 100_000]
    assert peaks[1][1] < peaks[0][1] + 40, "MB; the lines are 54"


def lines_and_peak(run_: Path, count: int) -> tuple[int, float]:
    """Lines that `yes SENTENCE | head | dltool translate` gives, and its peak resident memory in MB."""
    code = (
        "import resource, subprocess, sys\n"
        f"command = [{sys.executable!r}, '-m', 'dltool', 'translate', {str(run_)!r}]\n"
        "command += ['--to', 'fr', '--max-length', '4']\n"
        "done = subprocess.run(command, stdout=subprocess.PIPE, check=True)\n"
        "print(done.stdout.count(b'\\n'), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    sentence = " ".join(["nine hundred and forty-two"] * 20)
    command = f"yes '{sentence}' | head -{count} | {shlex.join([sys.executable, '-c', code])}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines, peak = done.stdout.split()
    return int(lines), float(peak)
