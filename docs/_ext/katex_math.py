"""Formulas as HTML: KaTeX renders them in Node while the site is built.

So a page needs no script and no network, only the style sheet and the fonts of KaTeX. A
formula that KaTeX does not understand is an error.
"""

import atexit
import functools
import json
import pathlib
import subprocess

from docutils import nodes
from sphinx.errors import ExtensionError

_KATEX = pathlib.Path(__file__).parent / "katex" / "katex.min.js"
_ANSWER = """
const katex = require(process.argv[1]);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [tex, displayMode] = JSON.parse(line);
  try {
    console.log(JSON.stringify([katex.renderToString(tex, { displayMode }), null]));
  } catch (error) {
    console.log(JSON.stringify([null, error.message]));
  }
});
"""


@functools.cache
def _node():
    try:
        node = subprocess.Popen(
            ["node", "-e", _ANSWER, str(_KATEX)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    except FileNotFoundError as error:
        raise ExtensionError("The formulas need Node: no `node` was found.") from error
    atexit.register(node.kill)
    return node


@functools.cache
def _html(tex, display):
    node = _node()
    print(json.dumps([tex, display]), file=node.stdin, flush=True)
    html, error = json.loads(node.stdout.readline())
    if error is not None:
        raise ExtensionError(f"{error} in the formula {tex}")
    # The source would be found by the search and copied with the text.
    before, annotation, after = html.partition("<annotation ")
    return before + after.partition("</annotation>")[2] if annotation else html


def _inline(writer, node):
    writer.body.append(f'<span class="math">{_html(node.astext(), False)}</span>')
    raise nodes.SkipNode


def _block(writer, node):
    tex = node.astext()
    if "&" in tex:  # as Sphinx does for MathJax
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    writer.body.append(f'<div class="math">{_html(tex, True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("katex", (_inline, None), (_block, None))
    app.add_css_file("katex/katex.min.css")
    return {"parallel_read_safe": True}
