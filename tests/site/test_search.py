"""The site's own search, for the words that a reader comes with."""

import pytest
from visits import Visit

WORDS = [
    "plot",
    "freeze",
    "bounds",
    "weight decay",
    "L-BFGS",
    "dropout",
    "resume",
    "cite",
    "GPU",
]


@pytest.mark.parametrize("words", WORDS)
def test_the_search_finds(site, tabs, words):
    # Excerpts of the results are fetched, which a browser does over HTTP alone. So what
    # the console says is not asked here.
    with Visit(tabs["desk", "light"]) as visit:
        query = words.replace(" ", "+")
        visit.tab.goto(f"{(site / 'search.html').as_uri()}?q={query}")
        visit.tab.wait_for_function(
            "() => /finished|did not match|No results/i.test("
            "document.querySelector('#search-results').innerText)"
        )
        found = visit.tab.locator("#search-results li").all_inner_texts()
    print(*found[:5], sep="\n")
    assert found
