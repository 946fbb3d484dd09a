"""A page that shows a folder's pictures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as escape_html
from typing import TYPE_CHECKING

from dltool.errors.control_characters import visible

if TYPE_CHECKING:
    import pandas as pd

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
figure { margin: 1.5rem 0; overflow-x: auto }
figcaption { color: #555; margin-bottom: .3rem }
img { max-width: 100%; border: 1px solid #ddd }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ddd; padding: .15rem .6rem; text-align: right }
th { text-align: right; color: #555 }
details { overflow-x: auto }
"""


def page(title: str, pictures: Sequence[tuple[str, str]], report: Mapping[str, pd.DataFrame]) -> str:
    """Return HTML that needs nothing but the pictures in its folder.

    Args:
        pictures: (file, caption) of each.
        report: title -> table.
    """
    figures = "\n".join(
        f'<figure><figcaption>{escape(caption)}</figcaption><img src="{escape(file)}" alt="{escape(caption)}"></figure>'
        for file, caption in pictures
    )
    tables = "\n".join(
        f"<details><summary>{escape(name)}: {len(frame)} rows</summary>"
        f"{_visible_cells(frame).to_html(index=False, border=0, na_rep='', float_format='{:.4g}'.format)}</details>"
        for name, frame in report.items()
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{figures}\n{tables}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Return text as HTML shows it, control characters visible."""
    return escape_html(visible(text))


def _visible_cells(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.map(lambda value: visible(value) if isinstance(value, str) else value)
    return shown.rename(columns=lambda name: visible(str(name)))
