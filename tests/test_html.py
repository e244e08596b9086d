"""What results and histories show in a notebook."""

import html.parser

import jax
import jax.numpy as jnp
import numpy as np
import optax
from helpers import MAPPED

from optax_rprop import fit

START = {"w": jnp.full((2, 3), 0.5), "b": jnp.zeros(())}


def square(params):
    return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


class Page(html.parser.HTMLParser):
    """The elements and the text of a page that closes all it opens."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def is_text_alone(shown):
    """Whether it shows what it prints, and no more."""
    page = Page(shown._repr_html_())
    return [tag for tag, _ in page.elements] == ["pre"] and page.text == [repr(shown)]


def points(curve):
    """The coordinates of a curve, piece by piece."""
    return [
        np.array([at.split() for at in piece.split("L")], float)
        for piece in curve["d"].split("M")[1:]
    ]


def test_a_result_has_the_facts_of_the_text_and_the_whole_advice():
    result = fit(square, START, target_loss=0.1)
    page = Page(result._repr_html_())
    title, _, *facts = repr(result).split("\n  ")
    assert page.text[:2] == [title, result.status.advice]
    cells = page.text[2 : 2 + 2 * len(facts)]
    assert cells == [part for fact in facts for part in (fact[:12].strip(), fact[12:])]
    assert page.text[2 + 2 * len(facts) :] == [
        "loss, log axis",
        "step sizes, mean and maximum, log axis",
    ]
    curves = page.all("path")
    assert len(page.all("svg")) == 2
    assert len(curves) == 3


def test_a_history():
    history = fit(square, START, target_loss=0.1).history
    page = Page(history._repr_html_())
    assert page.text[:3] == [
        "FitHistory of 5 steps",
        "loss",
        repr(history).split("\n")[1][19:],
    ]
    assert len(page.all("svg")) == 2


def test_it_is_one_piece_in_the_colour_of_the_text():
    """No script, nothing loaded, and no colour of its own: light or dark, it is seen."""
    shown = fit(square, START, target_loss=0.1)._repr_html_()
    page = Page(shown)
    assert {tag for tag, _ in page.elements} <= {
        *("div", "strong", "table", "tr", "th", "td"),
        *("figure", "svg", "path", "figcaption", "small"),
    }
    for forbidden in (
        "script",
        "href",
        "src",
        "url(",
        "id=",
        "class=",
        "#",
        "background",
    ):
        assert forbidden not in shown.replace("&#x27;", "")
    assert {svg["stroke"] for svg in page.all("svg")} == {"currentColor"}
    assert {svg["fill"] for svg in page.all("svg")} == {"none"}


def test_names_are_escaped():
    params = {"<script>alert(1)</script>&": jnp.ones(2)}
    shown = fit(square, params, max_steps=1)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in shown
    # Text that a page takes for its own comes back as it was.
    assert any("['<script>alert(1)</script>&']" in text for text in Page(shown).text)


def fitted(start):
    return fit(square, start, target_loss=1e-3, max_steps=20)


def test_a_curve_goes_from_the_first_step_to_the_last_on_a_log_axis():
    history = fit(square, START, max_steps=5).history
    history = history._replace(loss=np.array([100.0, 10.0, 1.0, 10.0, 1e-2]))
    curve = Page(history._repr_html_()).all("path")[0]
    (piece,) = points(curve)
    np.testing.assert_allclose(piece[1:, 0], np.linspace(3, 237, 5), atol=0.06)
    np.testing.assert_allclose(piece[1:, 1], [3, 16.5, 30, 16.5, 57], atol=0.06)


def test_a_loss_that_is_not_positive_is_on_a_linear_axis():
    history = fit(square, START, max_steps=3).history
    page = Page(history._replace(loss=np.array([1.0, 0.0, -1.0]))._repr_html_())
    assert {svg["aria-label"] for svg in page.all("svg")} == {
        "loss",
        "step sizes, mean and maximum, log axis",
    }
    np.testing.assert_allclose(points(page.all("path")[0])[0][1:, 1], [3, 30, 57])


def test_a_loss_that_is_not_finite_is_a_gap():
    history = fit(square, START, max_steps=5).history
    loss = np.array([4.0, np.inf, 2.0, np.nan, 1.0], "float32")
    pieces = points(Page(history._replace(loss=loss)._repr_html_()).all("path")[0])
    assert [len(np.unique(piece, axis=0)) for piece in pieces] == [1, 1, 1]


def test_without_curves():
    """Without a history, or a finite loss, or a step."""
    none = fit(square, START, max_steps=1, history=False)
    assert Page(none._repr_html_()).all("svg") == []
    nowhere = fit(lambda p: jnp.nan * square(p), START)
    assert "loss" not in [x["aria-label"] for x in Page(nowhere._repr_html_()).all("svg")]
    no_step = fit(square, START, target_loss=100.0, resume=none.last)
    assert no_step.num_steps == 0
    assert Page(no_step._repr_html_()).all("svg") == []


def test_what_has_been_left_out_or_given_away():
    result = fit(square, START, max_steps=3)
    assert f"loss        {result.loss:.4g} at the" in repr(result._replace(last=None))
    Page(result._replace(last=None)._repr_html_())
    history = result.history._replace(step_size_max=None)
    assert len(Page(history._repr_html_()).all("svg")) == 1
    jax.tree.map(lambda x: x.delete(), result.params)  # as donation does
    assert len(Page(result._repr_html_()).all("svg")) == 2


def test_a_curve_without_a_point_at_the_steps_that_are_drawn():
    history = fit(square, START, max_steps=1).history
    loss = np.full(1000, np.nan)
    loss[1] = 1.0
    sizes = dict.fromkeys(history._fields, np.ones(1000))
    assert (
        len(Page(type(history)(**sizes | {"loss": loss})._repr_html_()).all("svg")) == 1
    )


def test_one_step_and_a_constant_loss():
    for steps in (1, 3):
        result = fit(lambda p: 5 + 0 * square(p), START, max_steps=steps)
        page = Page(result._repr_html_())
        assert len(page.all("path")) == 3
        for curve in page.all("path"):
            assert np.isfinite(points(curve)[0]).all()


def test_without_step_sizes_there_is_one_curve(relaxed):
    result = fit(square, START, optimizer=optax.adam(0.1), max_steps=3)
    assert [x["aria-label"] for x in Page(result._repr_html_()).all("svg")] == [
        "loss, log axis"
    ]


def test_a_long_fit_has_no_longer_curve():
    history = fit(square, START, max_steps=3).history
    long = jax.tree.map(lambda x: np.geomspace(1, 1e-9, 1_000_000), history)
    shown = long._repr_html_()
    assert len(shown) < 15_000
    (piece,) = points(Page(shown).all("path")[0])
    assert piece[-1].tolist() == [237.0, 57.0]


def test_a_batch_is_its_line():
    results = jax.vmap(fitted)(jnp.array([0.0, 0.25, 9.0]))
    assert repr(results).startswith("FitResult of 3 fits: ")
    assert is_text_alone(results)
    assert is_text_alone(results.history)


def test_what_has_no_values_shows_its_shapes():
    """Tracers, shapes, deleted arrays, and whatever a tree may be mapped to."""
    shapes = jax.eval_shape(fitted, START)
    assert is_text_alone(shapes)
    assert is_text_alone(shapes.history)

    @jax.jit
    def traced(start):
        result = fitted(start)
        assert is_text_alone(result)
        assert is_text_alone(result.history)
        return result

    result = traced(START)
    for mapped in MAPPED:
        Page(jax.tree.map(mapped, result)._repr_html_())
        Page(jax.tree.map(mapped, result.history)._repr_html_())
        Page(result._replace(history=jax.tree.map(mapped, result.history))._repr_html_())
        Page(result._replace(params=jax.tree.map(mapped, result.params))._repr_html_())
    jax.tree.map(lambda x: x.delete(), result)
    assert is_text_alone(result)
    assert is_text_alone(result.history)
