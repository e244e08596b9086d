"""The interactive page, played: from the keyboard, from a link, in every scene."""

import pytest
from visits import WIDTHS, Visit

SCENE = "method=irprop-&ratio=100&turn=0&first=0.1&noise=0&x=-2&y=1&cliff=0"

# How many colours a canvas shows, up to what no blank one has.
COLOURS = """(canvas) => {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@pytest.fixture
def play(site, chromium):
    """Opens the page with a scene, in a tab that must have no problem until the end."""
    visits = []

    def opened(scene="", device="desk", scheme="light"):
        size = {"width": WIDTHS[device], "height": 844}
        context = chromium.new_context(viewport=size, color_scheme=scheme, offline=True)
        visit = Visit(context.new_page()).__enter__()
        visits.append(visit)
        visit.tab.goto((site / "play.html").as_uri() + scene)
        return visit.tab

    yield opened
    for visit in visits:
        visit.tab.context.close()
    assert [visit.problems for visit in visits] == [[]] * len(visits)


def said(tab):
    return tab.locator("#play .says").inner_text()


def status(tab):
    return tab.locator("#play .status").inner_text()


def test_a_step_from_the_keyboard_is_told_in_words(play):
    tab = play(f"#{SCENE}")
    before = said(tab)
    assert status(tab).startswith("step 0")
    for _ in range(100):
        if tab.evaluate("document.activeElement.matches('#play [data-do=step]')"):
            break
        tab.keyboard.press("Tab")
    else:
        pytest.fail("the tab key never comes to the button")
    tab.keyboard.press("Enter")
    assert status(tab).startswith("step 1,")
    after = said(tab)
    assert after != before
    tab.keyboard.press("Enter")
    assert status(tab).startswith("step 2,")


def test_the_arrow_keys_move_the_start(play):
    tab = play(f"#{SCENE}")
    tab.locator("#play .map").focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("location.hash.includes('x=-1.9')")


def test_a_link_holds_the_state(play):
    tab = play(f"#{SCENE}&t=5".replace("irprop-", "adam"))
    assert tab.locator("#play [name=method]:checked").input_value() == "adam"
    assert status(tab).startswith("step 5,")
    tab.locator("#play [data-do=step]").click()
    tab.wait_for_function("location.hash.includes('t=6')")
    other = play("#" + tab.url.split("#")[1])
    assert status(other) == status(tab)
    assert status(other).startswith("step 6,")
    assert said(other) == said(tab)


def test_a_loss_that_is_not_a_number_takes_the_step_back(play):
    tab = play("#" + SCENE.replace("x=-2&y=1&cliff=0", "x=2.8&y=1.6&cliff=1"))
    for _ in range(40):
        before = status(tab)
        tab.locator("#play [data-do=step]").click()
        if "NaN" in status(tab):
            break
    else:
        pytest.fail("the path never meets the cliff")
    tab.locator("#play [data-do=step]").click()
    assert status(tab).partition("loss")[2] == before.partition("loss")[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_every_scene_is_drawn_and_run(play, device, scheme):
    tab = play(device=device, scheme=scheme)
    scenes = tab.locator("#play [data-scene]")
    assert scenes.count() > 2
    for i in range(scenes.count()):
        scenes.nth(i).click()
        tab.locator("#play [data-do=step]").click()
        assert status(tab).startswith("step 1,")
        assert said(tab)
    for canvas in tab.locator("#play canvas").all():
        assert canvas.evaluate(COLOURS) > 5
    tab.wait_for_function(
        "[...document.querySelectorAll('#play [data-count]')].every((x) => x.innerText)"
    )
