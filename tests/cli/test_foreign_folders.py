"""What lies in the working folder or looks like a picture is read, not run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import dltool
from dltool.data.formats import image_decoding, picture_formats
from dltool.recipe import catalogue

ROOT = Path(dltool.__file__).parents[1]


def python(*arguments: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_modules_of_the_working_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("typer", "yaml", "rich", "keras", "tensorflow", "pathlib", "shutil", "signal", "numpy", "pandas"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\nraise SystemExit(9)\n")
    done = python("-m", "dltool", "lr-schedule", "mlp/digits", "--format", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_dltool_starts_from_its_own_checkout() -> None:
    done = python("-m", "dltool", "--version", cwd=ROOT, PYTHONPATH="")
    assert done.stdout == f"dltool {dltool.__version__}\n"


def test_matplotlibs_settings_in_the_working_folder_are_not_read(tmp_path: Path) -> None:
    settings = "text.usetex: True\nlines.linewidth: 77\nbackend: module://evil\nbad \x1b[2J key: 1\n"
    (tmp_path / "matplotlibrc").write_text(settings)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/matplotlibrc").write_text("lines.linewidth: 3\ntext.usetex: True\n")
    code = """
import sys, json
from dltool.output.history import plot_history
rows = [{"epoch": 1, "step": 2, "seconds": 1.0, "loss": 1.0, "a_b^c$": 0.5, "learning_rate": 0.1}]
plot_history(rows, open("history.png", "wb"), "\\\\input{secret}")
import matplotlib
print(json.dumps([matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["text.usetex"]]))
"""
    done = python("-c", code, cwd=tmp_path, MATPLOTLIBRC=str(tmp_path / "own"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert json.loads(done.stdout) == [3.0, False]
    assert (tmp_path / "history.png").stat().st_size


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
(ran) (w) file closefile
showpage
%%EOF
"""


def test_postscript_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dltool.filters.given_images import _opened

    def start(*arguments: object, **keywords: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", start)
    path = tmp_path / "scan.png"
    path.write_bytes(EPS)
    with pytest.raises(ValueError, match="is no image that Pillow can read"):
        _opened(path)
    with pytest.raises(UnidentifiedImageError):
        image_decoding.pillow_pixels(EPS, "rgb")
    with Image.open(path) as image:  # Pillow's own choice would be Ghostscript
        assert image.format == "EPS"


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "ICO", "TGA", "PCX", "SGI"])
def test_ordinary_pictures_are_opened_as_pillow_opens_them(form: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)).save(file, form)
    with picture_formats.opened(io.BytesIO(file.getvalue())) as own, Image.open(io.BytesIO(file.getvalue())) as twin:
        np.testing.assert_array_equal(np.asarray(own), np.asarray(twin))


def test_no_part_of_dltool_lets_pillow_choose_the_format() -> None:
    files = [path for path in (ROOT / "dltool").rglob("*.py") if path.name != "picture_formats.py"]
    assert files
    assert [
        path for path in files if "Image.open(" in path.read_text() or "image_module.open(" in path.read_text()
    ] == []


def test_saved_text_models_open_in_plain_keras_after_one_import(tmp_path: Path) -> None:
    catalogue.import_saved_objects()
    from dltool.library.applications.seq2seq import Seq2Seq
    from dltool.library.layers.bahdanau_attention import BahdanauAttention
    from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy
    from dltool.library.metrics.perplexity import Perplexity

    own = {name for name in keras.saving.get_custom_objects() if name.startswith("dltool>")}
    layers = [keras.layers.GRU(3)], keras.layers.GRU(3), BahdanauAttention(3)
    translator = Seq2Seq(7, 9, *layers, embedding_size=4)
    sentences = {"source": np.array([[3, 4, 0]]), "target": np.array([[2, 5]])}
    wanted = np.asarray(translator(sentences))
    translator.compile("sgd", LabelSmoothedCrossentropy(), [Perplexity()])
    translator.save(tmp_path / "model.keras")
    code = """
import sys
import dltool
assert not {"keras", "tensorflow", "numpy", "pandas"} & {*sys.modules}
import dltool.runs.keras_objects
import json, keras, numpy
model = keras.models.load_model("model.keras")
given = model({"source": numpy.array([[3, 4, 0]]), "target": numpy.array([[2, 5]])})
print(json.dumps([sorted(keras.saving.get_custom_objects()), numpy.asarray(given).tolist()]))
"""
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, given = json.loads(done.stdout)
    assert {*found} == own
    np.testing.assert_allclose(given, wanted, rtol=1e-5)
