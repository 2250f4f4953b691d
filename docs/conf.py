"""Settings of the documentation site: ``make docs``, or ``sphinx-build -W docs docs/_build``.

The pages are Markdown that GitHub shows as well, so nothing here may change what they say. Two
small extensions lie in ``_ext``: one reads the docstrings, which are plain text with little
markup, and one sends links to files outside ``docs`` somewhere. The build needs no network; only
a reader's browser fetches MathJax.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))
sys.path.insert(0, str(DOCS.parent))

import tnqbm  # noqa: E402

project = "tnqbm"
author = "The tnqbm developers"
project_copyright = "The tnqbm developers"
version = release = tnqbm.__version__
language = "en-GB"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_click",
    "sphinx_copybutton",
    "docstring_text",
    "outside_links",
]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
# Bare fences hold output, formats and commands that are not to be run.
highlight_language = "none"
# Options and quoted values stay as they are typed.
smartquotes = False
# Types that are imported for type checkers only are known by their last name, such as `Estimate`.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# Shown by the names that the sources give them, not as what NumPy makes of them.
autodoc_type_aliases = {
    "ArrayLike": "ArrayLike",
    "Float": "NDArray[float64]",
    "Int": "NDArray[int64]",
    "Mask": "NDArray[bool]",
    "States": "NDArray[uint8]",
    "Seed": "int | SeedSequence",
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
python_display_short_literal_types = True
add_module_names = True
toc_object_entries_show_parents = "hide"

# Outputs of `>>>` sessions and shell prompts are not copied.
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "tnqbm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
