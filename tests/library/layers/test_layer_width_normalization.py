"""Width normalisation against a slow NumPy twin and by the box that it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from dltool.library.layers.width_normalization import WidthNormalization


def by_loops(x: np.ndarray, width: float, threshold: float, background: float) -> np.ndarray:
    """The docstring's formula, a pixel at a time."""
    y = np.full_like(x, background)
    batch, rows, columns, channels = x.shape
    for n in range(batch):
        inked = [j for j in range(columns) if np.abs(x[n, :, j] - background).max() > threshold]
        if not inked:
            y[n] = x[n]
            continue
        first, last = inked[0], inked[-1]
        s = (last - first + 1) / width
        for j in range(columns):
            u = (first + last) / 2 + s * (j - (columns - 1) / 2)
            w = np.array([max(0.0, 1 - abs(i - u) / max(1.0, s)) for i in range(columns)])
            if w.sum() > 0:
                for r in range(rows):
                    for c in range(channels):
                        y[n, r, j, c] = background + (w / w.sum()) @ (x[n, r, :, c] - background)
    return y


def strokes(background: float = 0.0) -> np.ndarray:
    """Images with ink in columns 3 to 5, 1 to 12, 9 to 9, none, and all of 0 to 13."""
    rng = np.random.default_rng(0)
    x = np.full((5, 6, 14, 2), background, np.float32)
    for n, (first, last) in enumerate([(3, 5), (1, 12), (9, 9), (1, 0), (0, 13)]):
        x[n, 1:5, first : last + 1] = rng.uniform(30, 220, (4, last - first + 1, 2))
    return x


@pytest.mark.parametrize(("width", "threshold", "background"), [(6, 0, 0), (9.5, 1, 0), (20, 0, 0), (3, 0, 255)])
def test_it_is_the_formula_pixel_by_pixel(width: float, threshold: float, background: float) -> None:
    x = strokes(background)
    layer = WidthNormalization(width, threshold, background)
    np.testing.assert_allclose(layer(x), by_loops(x, width, threshold, background), atol=2e-3)
    again = WidthNormalization.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x, training=True), layer(x))


def test_a_centred_box_of_that_width_stays_and_an_empty_image_too() -> None:
    x = np.zeros((2, 4, 8, 1), np.float32)
    x[0, :, 2:6, 0] = np.arange(16).reshape(4, 4) + 1
    np.testing.assert_allclose(WidthNormalization(4)(x), x, atol=1e-5)


def test_a_bar_is_stretched_and_centred_by_hand() -> None:
    """Columns 0 and 1 hold 6 and 2; width 4, s = 1/2: u = 0.5 + (j - 3.5) / 2 = -0.25, 0.25, 0.75, 1.25 at j = 2..5.

    Interpolated: 0.75 * 6 / 0.75 = 6 (beyond the border there is no pixel to share with), 0.75 * 6 + 0.25 * 2 = 5,
    0.25 * 6 + 0.75 * 2 = 3, 0.75 * 2 + 0.25 * 0 = 1.5; at j = 1 and 6: 0.25 * 6 / 0.25 = 6 and 0.25 * 2 = 0.5.
    """
    x = np.zeros((1, 1, 8, 1), np.float32)
    x[0, 0, :2, 0] = 6, 2
    found = np.asarray(WidthNormalization(4)(x))[0, 0, :, 0]
    np.testing.assert_allclose(found, [0, 6, 6, 5, 3, 1.5, 0.5, 0], atol=1e-5)


@pytest.mark.parametrize("width", [10, 14, 20])
def test_wide_and_narrow_bars_come_out_as_wide_and_in_the_middle(width: int) -> None:
    x = np.zeros((3, 28, 28, 1), np.float32)
    for n, (first, last) in enumerate([(4, 23), (10, 13), (2, 12)]):
        x[n, 4:24, first : last + 1] = 255
    y = np.asarray(WidthNormalization(width)(x))
    np.testing.assert_allclose(y.sum(axis=(1, 2, 3)), 255 * 20 * width, rtol=0.08)  # full ink, blurred at the sides
    columns = y.sum(axis=(1, 3))
    np.testing.assert_allclose((columns * np.arange(28)).sum(1) / columns.sum(1), 13.5, atol=1e-3)
    assert (y[:, :4] == 0).all()
    assert (y[:, 24:] == 0).all()


@pytest.mark.parametrize("width", [0, -3, "20", True])
def test_a_width_that_is_no_positive_number_is_said(width: object) -> None:
    with pytest.raises(ValueError, match="'width' parameter of WidthNormalization must be a number > 0. Got"):
        WidthNormalization(width)  # type: ignore[arg-type]
