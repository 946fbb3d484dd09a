"""The columns of a box among an image's targets: x_min, y_min, x_max, y_max in pixels, class, ignored."""

from __future__ import annotations

COLUMNS = 6
CORNERS, LABEL, IGNORED = slice(0, 4), 4, 5
PADDING = (0.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # a row without a box
