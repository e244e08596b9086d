"""Sphinx configuration: `sphinx-build -W -n docs docs/_build` builds the site.

It needs Node for the formulas, and no network.
"""

import importlib.metadata
import os
import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the examples run where a GPU may be busy

project = "optax_rprop"
author = "The optax_rprop authors"
copyright = "2026, the optax_rprop authors"
release = importlib.metadata.version("optax-rprop")

extensions = [
    "api_text",
    "katex_math",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
default_role = "code"  # a single backtick in the text of an example
exclude_patterns = ["_build", "_ext", "_static", "gallery/*.py"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "optax_rprop"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_attr_annotations = False
napoleon_use_ivar = True  # else the fields of a NamedTuple are described twice

# The inventories name what the API refers to; the links lead to the sites themselves.
intersphinx_mapping = {
    name: (url, str(DOCS / "_inventories" / f"{name}.txt"))
    for name, url in {
        "jax": "https://docs.jax.dev/en/latest/",
        "numpy": "https://numpy.org/doc/stable/",
        "optax": "https://optax.readthedocs.io/en/latest/",
        "python": "https://docs.python.org/3/",
    }.items()
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "filename_pattern": r"\.py$",
    "notebook_extensions": set(),
    "copyfile_regex": r"index\.rst",
    "abort_on_example_error": True,
    "reset_argv": "gallery_runs.arguments",
    "reset_modules": ("matplotlib", "gallery_runs.fresh_jax"),
    "image_srcset": ["2x"],
    "inspect_global_variables": False,  # else every array links to NumPy
    "default_thumb_file": str(DOCS / "_static" / "logo.svg"),
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # a page is the same at every build
    "write_computation_times": False,
}
