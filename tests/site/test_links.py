"""Links, anchors, and the public names: what the files of the site say."""

import functools
import html.parser
import pathlib
import urllib.parse

import optax_rprop
import optax_rprop.optimistix


class Page(html.parser.HTMLParser):
    """The places of a page that a link may name, and all that it refers to itself."""

    def __init__(self, text):
        super().__init__()
        self.anchors = {"", "top"}
        self.targets = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id")} | ({attrs.get("name")} if tag == "a" else set())
        self.targets += [attrs[name] for name in ("href", "src") if attrs.get(name)]


@functools.cache
def page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_links_lead_somewhere(site, path):
    here = site / path
    broken = []
    for target in page(here).targets:
        url = urllib.parse.urlsplit(target)
        if url.scheme or url.netloc:
            continue
        there = here.parent / urllib.parse.unquote(url.path) if url.path else here
        there = pathlib.Path(there).resolve()
        if there.is_dir() or not there.is_relative_to(site) or not there.exists():
            broken.append(target)
        elif there.suffix == ".html" and there.name != "search.html":
            if urllib.parse.unquote(url.fragment) not in page(there).anchors:
                broken.append(target)
    assert broken == []


def test_every_public_name_has_an_entry(site):
    anchors = set().union(*(page(path).anchors for path in site.glob("*.html")))
    anchors |= set().union(*(page(path).anchors for path in site.glob("*/*.html")))
    for module in optax_rprop, optax_rprop.optimistix:
        names = {f"{module.__name__}.{name}" for name in module.__all__}
        assert names
        assert names - anchors == set()
