"""PascalVoc and Bccd: parts, boxes in pixels of the resized image, and faults named by their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dltool.library.datasets.bccd import ANCHORS, Bccd
from dltool.library.datasets.image_folder import ImageFolder
from dltool.library.datasets.pascal_voc import PascalVoc
from tests.boxes import Things, boxed_images, write_voc, xml
from tests.command_line import run

X, THINGS = boxed_images(7)
PARTS = {"train": [2, 0, 5], "val": [1, 3], "test": [6]}
NOTHING = [0, 0, 0, 0, -1, 0]


def expected(things: Things, most: int, classes: tuple[str, ...] = ("disc", "square")) -> np.ndarray:
    rows = [[*box, classes.index(name), 0] for name, box in things]
    return np.array(rows + [NOTHING] * (most - len(rows)), np.float32)


def test_boxes_are_padded_and_parts_are_those_of_the_lists(tmp_path: Path) -> None:
    write_voc(tmp_path / "data" / "VOC", X, THINGS, PARTS)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "data")
    for path in (tmp_path / "data", tmp_path / "data" / "VOC", Path(archive)):
        data = PascalVoc(path)
        assert data.sizes() == {"train": 3, "validation": 2, "test": 1}
        examples = data.read("train")
        np.testing.assert_array_equal(examples.x, X[[2, 0, 5]])
        assert examples.y.dtype == np.float32
        np.testing.assert_array_equal(examples.y, [expected(THINGS[index], 3) for index in (2, 0, 5)])
    facts = {"input_shape": (24, 32, 3), "num_classes": 2, "class_names": ["disc", "square"], "max_boxes": 3}
    assert data.facts() == facts and data.hints() == []
    np.testing.assert_array_equal(data.class_counts("train"), [2, 5])  # of 3, 1 and 3 boxes: the second is a disc
    assert data.origins("validation")[1] == [f"VOC/JPEGImages/00{n}.png" for n in (1, 3)]


def test_boxes_are_resized_with_their_images(tmp_path: Path) -> None:
    data = PascalVoc(write_voc(tmp_path, X, THINGS), image_size=[12, 96], classes=["square", "disc"])
    examples = data.read("train")  # all is train where there are no lists
    assert examples.x.shape == (7, 12, 96, 3)
    boxes = [expected(own, 3, ("square", "disc")) * [3, 0.5, 3, 0.5, 1, 1] for own in THINGS]
    np.testing.assert_array_equal(examples.y, boxes)


@pytest.mark.data
def test_bccd_has_the_boxes_of_its_description() -> None:
    data = Bccd(anchors=5)
    assert data.sizes() == {part: len(data.labels(part)) for part in ("train", "validation", "test")}
    counts = {part: data.class_counts(part).tolist() for part in data.sizes()}
    # 2,382 and 968 red cells less one box without area each
    assert counts == {"train": [2381, 214, 209], "validation": [967, 87, 83], "test": [805, 71, 69]}
    for count, sizes in ANCHORS.items():
        some = Bccd(anchors=count)
        facts = some.facts()
        some._is_missing = True
        assert some.facts() == facts and facts["anchors"] == [list(size) for size in sizes]
    assert data.hints() == [] and "2 of 4,888 boxes are left out" in PascalVoc(data.path).hints()[0]
    half = Bccd(image_size=[240, 320], anchors=5)
    facts = half.facts()
    half._is_missing = True
    np.testing.assert_allclose(half.facts()["anchors"], facts["anchors"], atol=0.011)
    assert half.read("test").y[..., 2].max() == 320


def one_image(folder: Path, text: str, **arguments: Any) -> PascalVoc:
    write_voc(folder, X[:1], THINGS[:1])
    (folder / "Annotations/000.xml").write_text(text)
    return PascalVoc(folder, **arguments)


FAULTY: Things = [
    ("square", (4, 4, 4, 9)), ("square", (9, 9, 5, 5)), ("disc", (33, 2, 40, 9)), ("disc", (-9, -9, -1, -1)),
    ("square", (float("nan"), 1, 5, 5)), ("square", (1, 1, float("inf"), 5)), ("ring", (1, 1, 5, 5)),
    ("square", (-0.6, -0.4, 8.25, 24.9)), ("disc", (20, 10, 60, 30)), ("disc", (1.5, 2.25, 3.5, 4.75)),
]  # fmt: skip


def test_faulty_boxes_are_counted_and_left_out_and_those_beyond_the_border_are_cut(tmp_path: Path) -> None:
    data = one_image(tmp_path, xml(FAULTY), classes=["square", "disc"])
    kept = [[0, 0, 8.25, 24, 0, 0], [20, 10, 32, 24, 1, 0], [1.5, 2.25, 3.5, 4.75, 1, 0]]
    np.testing.assert_array_equal(data.labels("train")[0], np.float32(kept))
    dropped, cut = data.hints()
    file = tmp_path / "Annotations/000.xml"
    assert dropped.startswith(
        f"PascalVoc: 7 of 10 boxes are left out: 2 of coordinates that are no finite numbers (first: {file}, object "
        f"5), 2 whose width or height is not positive (first: {file}, object 1), 2 outside the image (first: {file}, "
        f"object 3), 1 of classes that are not listed (first: {file}, object 7). Set faulty: refuse"
    )
    assert cut.startswith(f"PascalVoc: 1 box reaches beyond the image and is clipped (first: {file}, object 9).")


@pytest.mark.parametrize("index", [0, 2, 4, 6, 8])
def test_faulty_boxes_can_be_refused(index: int, tmp_path: Path) -> None:
    data = one_image(tmp_path, xml([FAULTY[9], FAULTY[index]]), classes=["square", "disc"], faulty="refuse")
    with pytest.raises(
        ValueError, match=r"000.xml, object 2: the box \[.*\] of class '.*' is one .* 24 x 32"
    ) as caught:
        data.sizes()
    assert "\n" not in str(caught.value)


def test_boxes_with_flags_are_ignored_kept_or_left_out(tmp_path: Path) -> None:
    things: Things = [("disc", (1, 1, 5, 5))]
    text = xml(things, flags="<difficult>1</difficult><truncated>0</truncated>").replace(
        "</annotation>", xml(things, flags="<truncated>1</truncated>").split("</size>")[1]
    )
    folder = write_voc(tmp_path, X[:1], THINGS[:1])
    (folder / "Annotations/000.xml").write_text(text)
    for given, ignored in [({}, [1, 0]), ({"difficult": "keep"}, [0, 0]), ({"truncated": "drop"}, [1]),
                           ({"difficult": "drop", "truncated": "ignore"}, [1])]:  # fmt: skip
        data = PascalVoc(folder, **given)
        assert data.labels("train")[0, :, 5].tolist() == ignored
        assert data.class_counts("train").tolist() == [ignored.count(0)]
    inclusive = PascalVoc(folder, inclusive=True).labels("train")[0, 0]
    np.testing.assert_array_equal(inclusive[:4], [0, 0, 5, 5])


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "it has a document type"),
        ("<annotation>" * 40 + "</annotation>" * 40, "nested more than 32 deep"),
        ("<annotation><object>", "no XML: no element found"),
        ("", "no XML: no element found"),
        ("{}", "no XML: not well-formed"),
        ("<html/>", "its root is <html>, not <annotation>"),
        (xml([("disc", (1, 2, 3, 4))]).replace("<ymax>4</ymax>", ""), "object 1 has no bndbox/ymax"),
        (xml([("disc", (1, 2, 3, 4))]).replace("<ymax>4<", "<ymax>four<"), "object 1: ymax is 'four', no number"),
        (xml([("", (1, 2, 3, 4))]), "object 1 has no name"),
        (xml([("disc", (1, 2, 3, 4))], flags="<difficult>yes</difficult>"), "object 1: difficult is 'yes', not 0 or 1"),
        (xml([], size=(24, "wide")), "its size is 24 x wide"),  # type: ignore[arg-type]
    ],
)
def test_broken_annotations_are_one_line_that_names_the_file(text: str, message: str, tmp_path: Path) -> None:
    data = one_image(tmp_path, text)
    with pytest.raises(ValueError, match="correct or remove it") as caught:
        data.sizes()
    assert message in str(caught.value) and "Annotations/000.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_sizes_than_those_of_the_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"000.xml is of an image of 32 x 24 .* is 24 x 32: .* as its EXIF data say"):
        one_image(tmp_path / "turned", xml(THINGS[0], size=(32, 24))).facts()
    with pytest.raises(ValueError, match=r"000.xml is of an image of 30 x 32 .* is 24 x 32: replace one of them.$"):
        one_image(tmp_path / "other", xml(THINGS[0], size=(30, 32))).facts()
    assert one_image(tmp_path / "unknown", xml(THINGS[0], size=(0, 0))).sizes() == {"train": 1}


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, X, THINGS, PARTS)
    (folder / "JPEGImages/003.png").rename(folder / "JPEGImages/103.png")
    with pytest.raises(ValueError, match=r"003.xml has no image .*JPEGImages/003.\*, which .*val.txt lists"):
        PascalVoc(folder).sizes()
    (folder / "ImageSets/Main/val.txt").write_text("../../secret\n")
    with pytest.raises(ValueError, match=r"no annotations .*secret.xml, which .*val.txt lists"):
        PascalVoc(folder).sizes()
    (folder / "ImageSets/Main/val.txt").write_text("001\n004\n001\n")
    with pytest.raises(ValueError, match=r"val.txt lists '001' twice"):
        PascalVoc(folder).sizes()
    assert PascalVoc(folder, parts={"train": "test"}).sizes() == {"train": 1}
    with pytest.raises(ValueError, match=r"no file .*none.txt of part 'test': correct 'parts'"):
        PascalVoc(folder, parts={"train": "test", "test": "none"}).sizes()
    with pytest.raises(ValueError, match="has no folders 'pictures' and 'Annotations'"):
        PascalVoc(folder, images="pictures").sizes()
    (folder / "JPEGImages/000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"000.png is no readable image"):
        PascalVoc(folder, parts={"train": "train"}).sizes()


def test_grey_palette_and_deep_images_are_read_as_image_folders_read_them(tmp_path: Path) -> None:
    write_voc(tmp_path, X[:3], THINGS[:3])
    grey = X[0, ..., 0]
    Image.fromarray(grey).save(tmp_path / "JPEGImages/000.png")
    Image.fromarray(grey, mode="P").save(tmp_path / "JPEGImages/001.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "JPEGImages/002.png")
    (tmp_path / "as_folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "as_folder" / name).symlink_to(tmp_path / "JPEGImages")
    expected = ImageFolder(tmp_path / "as_folder", color_mode="grayscale").read("train").x[:3]
    np.testing.assert_array_equal(PascalVoc(tmp_path, color_mode="grayscale").read("train").x, expected)


def test_anchors_are_those_of_training_boxes_that_count(tmp_path: Path) -> None:
    things: list[Things] = [[("disc", (0, 0, 4, 8))], [("disc", (1, 1, 21, 11))], [("disc", (0, 0, 9, 9))]]
    folder = write_voc(tmp_path, X[:3], things, {"train": [0, 1], "test": [2]})
    assert PascalVoc(folder, anchors=2).facts()["anchors"] == [[4, 8], [20, 10]]
    assert PascalVoc(folder, anchors=2, image_size=[48, 64]).facts()["anchors"] == [[8, 16], [40, 20]]
    with pytest.raises(ValueError, match="PascalVoc: training boxes have 2 different sizes, 3 are asked for"):
        PascalVoc(folder, anchors=3).facts()


def test_other_data_are_read_in_the_classes_and_anchors_of_a_run(tmp_path: Path) -> None:
    facts = {"class_names": ["ring", "square"], "anchors": [[n, n] for n in range(9, 999)]}
    data = PascalVoc(write_voc(tmp_path, X, THINGS), anchors=990).as_trained(facts)
    assert data.facts()["anchors"] == facts["anchors"]  # so many sizes these boxes do not have
    assert data.facts()["class_names"] == ["ring", "square"] and {*data.labels("train")[..., 4].flat} == {-1, 1}


def test_facts_of_arguments_are_those_that_no_file_changes(tmp_path: Path) -> None:
    assert PascalVoc.facts_of_arguments(path="gone", image_size=[12, 16], classes=["a"], color_mode="grayscale") == {
        "input_shape": (12, 16, 1),
        "num_classes": 1,
        "class_names": ["a"],
    }
    assert PascalVoc.facts_of_arguments(path="gone") == {}


def test_arguments_are_checked(tmp_path: Path) -> None:
    for wrong in ({"faulty": "mend"}, {"difficult": "no"}, {"anchors": 0}, {"image_size": 3}, {"classes": []},
                  {"sets": "../up"}, {"parts": {"test": "test"}}, {"parts": {"train": "a/b"}}):  # fmt: skip
        with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of PascalVoc must be"):
            PascalVoc(tmp_path, **wrong)


def test_bccd_without_its_files_has_the_facts_that_recipes_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    data = Bccd(image_size=[240, 320], anchors=5)
    facts = data.facts()
    assert facts["input_shape"] == (240, 320, 3) and facts["class_names"] == ["RBC", "WBC", "Platelets"]
    assert facts["anchors"][0] == [round(ANCHORS[5][0][0] / 2, 2), round(ANCHORS[5][0][1] / 2, 2)]
    for needed in (lambda: data.read("train"), lambda: Bccd(anchors=7).facts()):
        with pytest.raises(FileNotFoundError, match=r"Bccd: no files in \$DLTOOL_DATA/bccd"):
            needed()


RECIPE = """
data: {dataset: {PascalVoc: {path: cells, faulty: refuse}}}
model: [{Conv2D: {filters: 4, kernel_size: 1}}]
compile: {optimizer: SGD, loss: mse}
fit: {epochs: 1}
"""


def test_commands_end_with_one_line_and_status_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)
    folder = write_voc(tmp_path / "cells", X[:1], THINGS[:1])
    for text, message in [
        (BOMB, "cells/Annotations/000.xml is no annotation of Pascal VOC (it has a document type, which can hide much"),
        (xml(FAULTY[:1]), "cells/Annotations/000.xml, object 1: the box [4, 4, 4, 9] of class 'square' is one whose"),
    ]:
        (folder / "Annotations/000.xml").write_text(text)
        done = run(capsys, "summary", "r.yaml")
        assert done.status == 5
        assert done.err.startswith(f"dltool: {message}") and done.err.count("\n") == 1
