"""Sheets, files and terminals: every pixel where it belongs, no text cut."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dltool.filters.given_images import read_images
from dltool.output.half_blocks import half_blocks
from dltool.output.picture_files import gif, png
from dltool.output.pixels import PixelRange, shown, signed, unsigned
from dltool.output.sheet import MARGIN, Tile, in_rows, sheet

GREY = PixelRange(0, 255, np.zeros(1), 1.0)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"row_labels": ["a unit with a long name", "b"], "column_labels": ["a column with a much longer name", "c\nd"]},
        {"notes": ["a note that is much wider than the two small pictures below it, and goes on for a while yet"]},
    ],
)
def test_nothing_is_cut_at_the_edges_of_a_sheet(labels: dict[str, list[str]]) -> None:
    rows = [[Tile(np.zeros((5, 5), np.uint8), "label of many words"), Tile(np.zeros((9, 4), np.uint8))], [None]]
    found = sheet("A title", rows, **labels)
    edges = (found[: MARGIN // 4], found[-MARGIN // 4 :], found[:, : MARGIN // 4], found[:, -MARGIN // 4 :])
    assert all((edge == 255).all() for edge in edges)
    plain = sheet("A title", [[Tile(np.zeros((5, 5), np.uint8))]])
    assert found.shape[1] > plain.shape[1]  # it grew for its words


def test_a_tile_is_enlarged_by_a_whole_factor_and_otherwise_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    found = sheet("t", [[Tile(picture)]], size=36)
    wanted = picture.repeat(6, axis=0).repeat(6, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(found, wanted.shape)[:, :, 0]
    assert (windows == wanted).all(axis=(2, 3, 4)).sum() == 1


def test_rows_hold_all_tiles_in_order() -> None:
    tiles = [Tile(np.zeros((3, 3), np.uint8), str(i)) for i in range(17)]
    assert [tile.label for row in in_rows(tiles) for tile in row] == [str(i) for i in range(17)]
    assert len({len(row) for row in in_rows(tiles)[:-1]}) == 1


def test_files_hold_the_pixels_and_equal_pixels_give_equal_bytes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(picture)))) == picture).all()
    assert png(picture) == png(picture.copy())
    frames = [np.full((6, 6, 3), level, np.uint8) for level in (0, 120, 255)]
    film = Image.open(io.BytesIO(gif(frames)))
    assert film.n_frames == 3
    for number, frame in enumerate(frames):
        film.seek(number)
        assert (np.asarray(film.convert("RGB")) == frame).all()


def test_values_become_the_tones_that_are_documented() -> None:
    assert signed(np.array([-2.0, 0.0, 1.0, 9.0]), 2).tolist() == [0, 128, 191, 255]
    assert unsigned(np.array([1.0, 2.0, 3.0]), 1, 3).tolist() == [0, 128, 255]
    assert shown(np.array([[[-5.0], [51.0], [300.0]]]), GREY).tolist() == [[0, 51, 255]]
    assert shown(np.zeros((4, 5, 3)), GREY).shape == (4, 5, 3)
    assert shown(np.zeros((4, 5, 6)), GREY).shape == (4, 6 * 5 + 5)  # six channels side by side
    assert shown(np.zeros((9, 2)), GREY).shape == (2, 9)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (np.array([0, 16], np.uint8), (0, 16)),  # no bytes, whatever the type
        (np.array([3, 250], np.uint8), (0, 255)),
        (np.array([0.0, 254.0], np.float32), (0, 255)),
        (np.array([-1.0, 1.0], np.float32), (-1, 1)),
        (np.array([0.0, 1.0], np.float32), (0, 1)),
    ],
)
def test_the_range_of_pixels_is_the_data_s(values: np.ndarray, ends: tuple[float, float]) -> None:
    found = PixelRange.of(values.reshape(2, 1, 1, 1))
    assert (found.low, found.high) == ends
    assert found.mean == pytest.approx(values.mean())
    assert found.norm == pytest.approx((float(values[1]) - float(values[0])) / 2)


def test_half_blocks_are_two_pixels_a_character() -> None:
    picture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [1, 2, 3]]], np.uint8)
    text = half_blocks([picture], 80)
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in text
    assert "\x1b[38;2;0;255;0;48;2;1;2;3m▀" in text
    assert text.count("▀") == 2


def test_pictures_wider_than_a_terminal_are_thinned() -> None:
    text = half_blocks([np.zeros((100, 100), np.uint8)] * 2, 40)
    assert max(line.count("▀") for line in text.splitlines()) <= 40


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_an_image_s_bytes_become_the_data_s_range(tmp_path: Path) -> None:
    array = np.array([[0, 51], [102, 255]], np.uint8)
    found = read_images([save(tmp_path / "a.png", array)], (2, 2, 1), PixelRange(-1, 1, np.zeros(1), 1.0))
    np.testing.assert_allclose(found[0, ..., 0], [[-1, -0.6], [-0.2, 1]], atol=1e-6)
    np.save(tmp_path / "b.npy", np.full((2, 2, 5), 7.0))
    assert (read_images([tmp_path / "b.npy"], (None, None, 5), GREY) == 7).all()


def test_sixteen_bits_and_grey_palettes_are_read_as_the_grey_that_they_are(tmp_path: Path) -> None:
    deep = save(tmp_path / "deep.png", np.array([[0, 32768], [13107, 65535]], np.uint16))
    found = read_images([deep], (2, 2, 1), PixelRange(0, 1, np.zeros(1), 1.0))
    np.testing.assert_allclose(found[0, ..., 0], [[0, 32768 / 65535], [0.2, 1]], atol=1e-6)
    array = np.array([[0, 51], [102, 255]], np.uint8)
    Image.fromarray(array).convert("P").save(tmp_path / "palette.gif")
    assert (read_images([tmp_path / "palette.gif"], (2, 2, 1), GREY)[0, ..., 0] == array).all()
    assert (read_images([tmp_path / "palette.gif"], (2, 2, 3), GREY)[0] == array[..., None]).all()


def test_an_image_that_the_model_does_not_take_is_said(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", np.zeros((4, 4), np.uint8))
    coloured = save(tmp_path / "coloured.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.npy").write_bytes(b"")
    noise = save(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).read_bytes()
    (tmp_path / "cut.png").write_bytes(noise[: len(noise) // 2])
    glass = save(tmp_path / "glass.png", np.full((4, 4, 4), 9, np.uint8))
    long = save(tmp_path / "long.tif", np.full((4, 4), 70000, np.int32))
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (0, 99)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    for name, array in (("nan", np.full((4, 4, 1), np.nan)), ("complex", np.ones((4, 4, 1)) * 1j)):
        np.save(tmp_path / f"{name}.npy", array)
    cases = [
        (grey, (8, 8, 1), "is 4 x 4 x 1, the model takes 8 x 8 x 1"),
        (grey, (4, 4, 3), "is grey, the model takes colour images"),
        (coloured, (4, 4, 1), "is coloured, the model takes grey images"),
        (coloured, (4, 4, 5), "give them as .npy files"),
        (tmp_path / "text.png", (4, 4, 1), "no image that Pillow can read"),
        (tmp_path / "none.png", (4, 4, 1), "does not exist"),
        (tmp_path / "none.npy", (4, 4, 1), "no readable .npy file"),
        (tmp_path / "empty.npy", (4, 4, 1), "no readable .npy file"),
        (tmp_path / "nan.npy", (4, 4, 1), "holds NaN or infinite numbers"),
        (tmp_path / "complex.npy", (4, 4, 1), "holds complex128, the model takes real numbers"),
        (tmp_path / "cut.png", (4, 4, 1), "cannot be read"),
        (tmp_path / "film.gif", (4, 4, 1), "holds 2 pictures"),
        (glass, (4, 4, 3), "has transparent pixels"),
        (long, (4, 4, 1), "holds 32-bit numbers"),
    ]
    for path, shape, said in cases:
        with pytest.raises(ValueError, match=said):
            read_images([path], shape, GREY)
