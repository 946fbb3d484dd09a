"""ImageMasks: layouts of folders, values of masks, what is resized, and faults named by their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dltool.data.splits import split
from dltool.library.datasets.cam_vid import CLASSES as ROAD
from dltool.library.datasets.cam_vid import CamVid
from dltool.library.datasets.image_masks import ImageMasks
from tests.shapes import CLASSES, shapes, write

X, VALUES = shapes(6)


def dataset(folder: Path, **arguments: Any) -> ImageMasks:
    return ImageMasks(**{"path": folder, "classes": CLASSES, "void": "edge", **arguments})


def test_values_are_classes_and_void_comes_last(tmp_path: Path) -> None:
    found = dataset(write(tmp_path, X, VALUES), void="disc")
    examples = found.read("train")
    assert examples.x.dtype == np.uint8 and examples.y.dtype == np.int32
    np.testing.assert_array_equal(examples.x, X)
    expected = np.array([0, 3, 1, 2])[VALUES]  # ground, void, square, edge
    np.testing.assert_array_equal(examples.y, expected)
    np.testing.assert_array_equal(found.labels("train"), expected)
    facts = found.facts()
    assert facts["class_names"] == ["ground", "square", "edge"] and facts["num_classes"] == facts["void"] == 3
    np.testing.assert_array_equal(found.class_counts("train"), np.bincount(expected.ravel())[:3])
    assert found.unreadable("train") is None


@pytest.mark.parametrize(
    ("places", "arguments"),
    [
        ({"train": ("images/train", "masks/train"), "test": ("images/test", "masks/test")}, {}),
        ({"train": ("Top/train/images", "Top/train/masks"), "test": ("Top/test/images", "Top/test/masks")}, {}),
        (
            {"train": ("train", "trainannot"), "test": ("test", "testannot")},
            {"images": "{part}", "masks": "{part}annot"},
        ),
        ({"train": ("rgb", "truth")}, {"images": "rgb", "masks": "truth"}),
    ],
)
def test_parts_are_found_in_every_layout(
    places: dict[str, tuple[str, str]], arguments: dict[str, str], tmp_path: Path
) -> None:
    for number, names in enumerate(places.values()):
        write(tmp_path / "data", X[number : number + 3], VALUES[number : number + 3], names)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "data")
    for path in (tmp_path / "data", Path(archive)):
        found = dataset(path, **arguments)
        assert found.sizes() == dict.fromkeys(places, 3)
        np.testing.assert_array_equal(found.read("train").x, X[:3])
    names = found.origins("train")[1]
    assert [name.endswith(f"{places['train'][0]}/00{n}.png") for n, name in enumerate(names)] == [True] * 3


def test_one_part_is_split_at_random(tmp_path: Path) -> None:
    splits = split(dataset(write(tmp_path, X, VALUES)), validation_split=0.2, seed=1)
    assert {name: one.size for name, one in splits.items()} == {"train": 3, "validation": 1, "test": 2}


def test_palettes_and_colours_give_the_same_targets(tmp_path: Path) -> None:
    colors = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 9]]
    expected = dataset(write(tmp_path / "grey", X, VALUES)).labels("train")
    for mode in ("P", "RGB"):
        folder = write(tmp_path / mode, X, VALUES)
        for number, mask in enumerate(VALUES):
            image = Image.fromarray(mask, mode="P")
            image.putpalette(sum(colors, []))
            image.convert(mode).save(folder / "masks" / f"{number:03d}.png")
        palette = {"palette": colors} if mode == "RGB" else {}
        found = dataset(folder, **palette)
        np.testing.assert_array_equal(found.labels("train"), expected)
    assert found.facts()["class_colors"] == colors[:3]
    with pytest.raises(ValueError, match=r"000.png is no readable mask \(it holds colours: give 'palette'"):
        dataset(folder).labels("train")


def test_colours_of_classes_csv_are_those_of_masks_in_colours_alone(tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 9]], np.uint8)
    folder = write(tmp_path, X, VALUES)
    lines = ["name,red,green,blue", *(f"{name},{r},{g},{b}" for name, (r, g, b) in zip(CLASSES, colors, strict=True))]
    (folder / "classes.csv").write_text("\n".join(lines))
    for number in (1, 3):  # the others stay values
        Image.fromarray(colors[VALUES[number]]).save(folder / f"masks/{number:03d}.png")
    for given in ({}, {"classes": CLASSES}):  # classes, as other data of a run take them from its facts
        np.testing.assert_array_equal(ImageMasks(folder, void="edge", **given).labels("train"), VALUES)
    other = ImageMasks(folder, void="edge", classes=["a", "b", "c", "edge"])  # of which the colours are not known
    with pytest.raises(ValueError, match="it holds colours: give 'palette'"):
        other.labels("train")
    Image.fromarray(np.full((24, 24, 3), 1, np.uint8)).save(folder / "masks/001.png")
    with pytest.raises(ValueError, match=r"the colour \[1, 1, 1\] is of no class: see 'palette' or classes.csv"):
        ImageMasks(folder, void="edge").labels("train")
    (folder / "classes.csv").write_text("\n".join([*lines[:-1], "edge,9,,9"]))
    with pytest.raises(ValueError, match="red, green and blue of classes.csv must hold ints from 0 to 255"):
        ImageMasks(folder, void="edge").facts()


def test_a_void_value_beyond_the_classes(tmp_path: Path) -> None:
    masks = np.where(VALUES == 3, 255, VALUES).astype(np.uint8)
    found = dataset(write(tmp_path, X, masks), classes=CLASSES[:3], void=255)
    np.testing.assert_array_equal(found.labels("train"), VALUES)
    assert found.facts()["void"] == 3 and found.facts()["void_value"] == 255


@pytest.mark.parametrize("size", [[12, 18], [30, 25]])
def test_masks_take_the_nearest_pixel(size: list[int], tmp_path: Path) -> None:
    import tensorflow as tf

    found = dataset(write(tmp_path, X, VALUES), image_size=size).read("train")
    assert found.x.shape == (6, *size, 3)
    expected = tf.image.resize(VALUES[..., np.newaxis], size, method="nearest")  # an independent reference
    np.testing.assert_array_equal(found.y, expected[..., 0])


def test_classes_may_stand_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path, X, VALUES)
    lines = ["index,name,red,green,blue", *(f"{n},{name},{n},0,0" for n, name in enumerate(CLASSES))]
    (tmp_path / "classes.csv").write_text("\n".join(lines))
    facts = ImageMasks(tmp_path, void="edge").facts()
    assert facts["class_names"] == ["ground", "disc", "square"]
    assert facts["class_colors"] == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    (tmp_path / "classes.csv").unlink()
    with pytest.raises(ValueError, match="has no classes.txt or classes.csv: name the masks' values with 'classes'"):
        ImageMasks(tmp_path).facts()


def test_faults_are_named_by_their_files(tmp_path: Path) -> None:
    folder = write(tmp_path, X, VALUES)
    with pytest.raises(
        ValueError, match=r"The 'void' parameter of ImageMasks .* Got 'egde' instead. Did you mean 'edge'"
    ):
        dataset(folder, void="egde")
    with pytest.raises(ValueError, match="'classes' has 1 class besides 'void', at least 2 are needed"):
        dataset(folder, classes=["ground", "edge"])
    with pytest.raises(ValueError, match="has no folders 'pictures' and 'masks'"):
        dataset(folder, images="pictures").sizes()
    mask = folder / "masks" / "002.png"
    Image.fromarray(np.full((24, 24), 7, np.uint8)).save(mask)
    with pytest.raises(ValueError, match=f"{mask} is no readable mask .the value 7 in row 0, column 0 is of no class"):
        dataset(folder).read("train")
    Image.fromarray(VALUES[2][:9]).save(mask)
    line = f"{mask} is 9 x 24 (rows x columns), its image 24 x 24: replace one of them."
    for found in (dataset(folder), dataset(folder, image_size=[24, 24])):
        assert found.unreadable("train") == found.wrong_target("train") == line
        with pytest.raises(ValueError, match="is 9 x 24"):
            found.read("train")
        with pytest.raises(ValueError, match="is 9 x 24"):
            found.class_counts("train")
    mask.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(ValueError, match=f"{mask} is no readable mask"):
        dataset(folder).read("train")
    mask.unlink()
    with pytest.raises(ValueError, match=f"002.png has no mask {folder / 'masks' / '002'}"):
        dataset(folder).sizes()


def test_camvid_is_masks_with_its_own_classes(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write(tmp_path, X[:2], VALUES[:2] + 8, (part, f"{part}annot"))  # Car, Pedestrian, Bicyclist and void
    found = CamVid(tmp_path)
    assert found.sizes() == {"train": 2, "validation": 2, "test": 2}
    facts = found.facts()
    assert (facts["num_classes"], facts["void"], facts["class_names"]) == (11, 11, list(ROAD[:11]))
    np.testing.assert_array_equal(found.labels("test"), VALUES[:2] + 8)


@pytest.mark.data
def test_camvid_has_the_published_parts_and_shares() -> None:
    found = CamVid(image_size=[90, 120])
    assert found.sizes() == {"train": 367, "validation": 101, "test": 233}
    counts = found.class_counts("train")
    assert counts[3] / (367 * 90 * 120) == pytest.approx(0.317, abs=0.003)  # Road: 31.7 % of training pixels
