"""Every page in a browser: nothing is missing, broken, raw, or wider than the screen."""

import pytest
from visits import WIDTHS, Visit

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

  // Text must differ from what is behind it; opacity and pictures are left out.
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (colour) => {
    const [r, g, b] = [...rgba(colour)].map((c) => (c / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    if (rgba(colour)[3] > 127) return colour;
    return element.parentElement ? behind(element.parentElement) : "white";
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const how = { opacityProperty: true, visibilityProperty: true };
    if (!texts.currentNode.data.trim() || !element.checkVisibility(how)) continue;
    const both = [getComputedStyle(element).color, behind(element)].map(luminance);
    if ((Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) < 3) {
      say("text that is hard to see", element);
    }
  }

  // On a phone the theme lets all of the content scroll, and the document stays narrow.
  for (const whole of document.querySelectorAll("html, .content")) {
    if (whole.scrollWidth > whole.clientWidth) {
      problems.push(`${whole.scrollWidth} wide on a screen of ${whole.clientWidth}`);
    }
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
    assert not problems, "\n".join(problems)
    assert brightness > 200 if scheme == "light" else brightness < 60
