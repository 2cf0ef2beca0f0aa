"""How the documentation site is built: ``make docs``. Nothing that it shows comes from another server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import reference_pages  # noqa: E402

project = "coarseparts"
release = reference_pages.version()
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
nitpicky = False
highlight_language = "none"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = f"coarseparts {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


def setup(app: Any) -> None:
    """The pages of reference are made anew by every build, so that none can be older than the code."""
    reference_pages.write_into(HERE / "reference")
    app.connect("autodoc-process-docstring", _examples_as_code)


def _examples_as_code(app: object, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """An indented paragraph of a docstring is an example, so code, and no quotation."""
    told, inside = [], False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside and (not told or not told[-1].strip()):
            told += ["::", ""]
        inside = indented or (inside and not line.strip())
        told.append(line)
    lines[:] = told
