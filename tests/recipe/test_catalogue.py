"""Names: the key's kind decides, dltool's folders come first, nothing is listed by hand."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from dltool.library.schedules.constant import Constant
from dltool.recipe import catalogue


def test_the_same_name_differs_by_kind() -> None:
    assert catalogue.find("losses", "CategoricalCrossentropy") is keras.losses.CategoricalCrossentropy
    assert catalogue.find("metrics", "CategoricalCrossentropy") is keras.metrics.CategoricalCrossentropy
    assert catalogue.find("initializers", "Constant") is keras.initializers.Constant
    assert catalogue.find("schedules", "Constant") is Constant


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("activations", {"LeakyReLU", "PReLU", "ReLU", "Softmax"}),
        ("applications", {"ResNet50", "MobileNetV3Small"}),
        ("callbacks", {"EarlyStopping", "CSVLogger"}),
        ("constraints", {"MaxNorm"}),
        ("datasets", {"Digits", "Mnist", "Csv"}),
        ("initializers", {"HeNormal", "VarianceScaling"}),
        ("layers", {"Dense", "Conv2D", "FeatureSpace", "Normalization"}),
        ("losses", {"Huber"}),
        ("metrics", {"F1Score"}),
        ("optimizers", {"Lamb", "Muon", "LossScaleOptimizer"}),
        ("procedures", {"GradientDescent"}),
        ("regularizers", {"L2"}),
        ("schedules", {"CosineDecay", "LinearDecay"}),
    ],
)
def test_known_names_of_a_kind_can_all_be_found(kind: str, some: set[str]) -> None:
    known = catalogue.known(kind)
    assert some <= set(known)
    assert all(catalogue.find(kind, name) is not None for name in known)


@pytest.mark.parametrize(
    "kind", ["procedures", *sorted(path.name for path in (catalogue.PACKAGE / "library").iterdir() if path.is_dir())]
)
def test_own_names_are_those_of_the_syntax_trees(kind: str) -> None:
    by_tree = {
        node.name: ".".join(["dltool", *catalogue.folder(kind).split("/"), path.stem])
        for path in (catalogue.PACKAGE / catalogue.folder(kind)).glob("[!_]*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name.lower() == path.stem.replace("_", "")
    }
    assert catalogue.own(kind) == by_tree


def test_base_classes_and_other_kinds_are_no_names() -> None:
    for kind, name in [
        ("layers", "Layer"),
        ("optimizers", "Optimizer"),
        ("activations", "Dense"),
        ("losses", "Loss"),
    ]:
        with pytest.raises(catalogue.UnknownNameError, match=f"no {catalogue.singular(kind)} named '{name}'"):
            catalogue.find(kind, name)


@pytest.mark.parametrize(("kind", "name"), sorted(catalogue.REFUSED))
def test_refused_names_say_why_and_are_not_suggested(kind: str, name: str) -> None:
    with pytest.raises(
        catalogue.UnknownNameError, match=f"{name} is not for recipes: .+\\. .+\\.|{name} is not .+ itself"
    ):
        catalogue.find(kind, name)
    assert name not in catalogue.known(kind)


def test_a_new_file_is_found_without_a_line_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "library/layers"
    folder.mkdir(parents=True)
    (folder / "radial_basis.py").write_text(
        "import nothing_there\n\n\nclass RadialBasis:\n    pass\n\n\nclass Other:\n    pass\n"
    )
    (folder / "_private.py").write_text("class Private:\n    pass\n")
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path)
    catalogue.own.cache_clear()
    try:
        assert catalogue.own("layers") == {"RadialBasis": "dltool.library.layers.radial_basis"}
        assert catalogue.own("nowhere") == {}
    finally:
        monkeypatch.undo()
        catalogue.own.cache_clear()


@pytest.mark.parametrize(
    "find",
    ["catalogue.find('datasets', 'Digits')", "catalogue.find('schedules', 'WarmUp')", "catalogue.known('schedules')"],
)
def test_finding_datasets_and_schedules_needs_no_tensorflow(find: str) -> None:
    code = f"""
import sys
from dltool.recipe import catalogue
{find}
print('tensorflow' in sys.modules, 'keras' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
