"""Every page in a browser: nothing is missing, broken, raw, or wider than the screen."""

import pytest
from conftest import WIDTHS, Visit

# What is wrong with the page that is shown, as a list of sentences.
LOOK = r"""async () => {
  const problems = [];
  const say = (what, element) =>
    problems.push(`${what}: ${element.outerHTML.slice(0, 200)}`);

  for (const picture of document.querySelectorAll("img")) {
    picture.loading = "eager";
    await picture.decode().catch(() => {});
    if (!picture.naturalWidth) say("a picture is missing", picture);
    if (!picture.hasAttribute("alt")) say("a picture has no text", picture);
  }

  const screen = document.documentElement;
  if (screen.scrollWidth > screen.clientWidth) {
    problems.push(`${screen.scrollWidth} wide on a screen of ${screen.clientWidth}`);
  }

  for (const formula of document.querySelectorAll(".katex-error, mjx-merror")) {
    say("a formula that failed", formula);
  }
  const body = document.body.cloneNode(true);
  for (const code of body.querySelectorAll("pre, code, script, style, annotation")) {
    code.remove();
  }
  // A command, a delimiter, or two dollars with a letter between them.
  const text = body.textContent;
  const tex = /\\[a-zA-Z]{2,}|\\[()\[\]{}]|\$[^$\n]*[a-zA-Z][^$\n]*\$/.exec(text);
  if (tex) problems.push(`raw TeX: ${text.substr(Math.max(tex.index - 40, 0), 120)}`);
  return problems;
}"""

# How bright the page is behind its text, from 0 to 255.
BRIGHTNESS = """() => {
  const colour = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g);
  return (Number(colour[0]) + Number(colour[1]) + Number(colour[2])) / 3;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_a_page_shows_all_that_it_has(site, tabs, path, device, scheme):
    with Visit(tabs[device, scheme]) as visit:
        visit.tab.goto((site / path).as_uri())
        problems = visit.problems + visit.tab.evaluate(LOOK)
        brightness = visit.tab.evaluate(BRIGHTNESS)
    assert problems == []
    assert brightness > 200 if scheme == "light" else brightness < 60
