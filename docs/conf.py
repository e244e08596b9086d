"""Sphinx configuration: `sphinx-build -W -n docs docs/_build` builds the pages."""

import importlib.metadata

project = "optax_rprop"
author = "The optax_rprop authors"
copyright = "2026, the optax_rprop authors"
release = importlib.metadata.version("optax-rprop")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_use_ivar = True  # else the fields of a NamedTuple are described twice
autodoc_typehints = "none"  # the docstrings give types, shapes and units
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_title = f"optax_rprop {release}"
# Documented elsewhere:
nitpick_ignore_regex = [("py:class", r"(jax|numpy|optax\.|ArrayTree).*")]
