"""Web pages and short texts instead of JSON, in one line; without a network."""

from __future__ import annotations

import pytest
from edges import EDGES, RAY, cloudflare, page

from wandb_inference._wire import decode, failure
from wandb_inference._wire.page import is_page, page_line
from wandb_inference.errors import InferenceError, NotFoundError, Reply


@pytest.mark.parametrize("name", EDGES)
def test_edge(name: str) -> None:
    status, body, cls, words, hint, again = EDGES[name]
    error: InferenceError
    if status == 200:
        with pytest.raises(cls) as caught:
            decode(body.encode(), model="m")
        error = caught.value
    else:
        error = failure(model="m", status=status, reply=Reply(status, {}, body.encode()))
    assert (type(error), error.retryable) == (cls, again)
    assert words in error.message
    assert hint in error.hint
    if isinstance(error, NotFoundError):
        assert error.is_path == ("path" in name or "nginx" in name)


LINES: dict[str, tuple[str, str]] = {
    # name: (page, the line)
    "a title": (page("Hello"), "a web page, 'Hello'"),
    "a title and a heading": (page("Hello", "World"), "a web page, 'Hello: World'"),
    "a title that says it": (page("502 Bad Gateway", "Sorry"), "a web page, '502 Bad Gateway'"),
    "a heading that the title holds": (page("Hello, World", "World"), "a web page, 'Hello, World'"),
    "a heading only": ("<h1 class=a>Hello <b>you</b></h1><p>more", "a web page, 'Hello you'"),
    "neither": ("<p>Hello</p>  <p>you", "a web page, 'Hello you'"),
    "a title that says nothing": (page("Error", rest="why"), "a web page, 'Error body { margin: 0 } why'"),
    "entities": ("<title>a &amp; b&#33;</title>", "a web page, 'a & b!'"),
    "white space": ("<title>\n a\t b </title>", "a web page, 'a b'"),
    "capitals": ("<HTML><TITLE>a</TITLE>", "a web page, 'a'"),
    "a title without an end": ("<title>abc", "a web page, 'abc'"),
    "a long title": (f"<title>{'x' * 900}</title>", f"a web page, '{'x' * 200}'"),
    "nothing": ("<html></html>", "a web page, ''"),
    "a ray in the text": (cloudflare(520, "x"), f"a web page, 'api.example.com | 520: x', ray id {RAY}"),
    "a ray that is none": ("<p>Ray ID: nothing", "a web page, 'Ray ID: nothing'"),
}


@pytest.mark.parametrize("name", LINES)
def test_line(name: str) -> None:
    text, line = LINES[name]
    assert page_line(text) == line
    assert page_line(text, {"cf-ray": "r-FRA"}) == f"{line.partition(', ray')[0]}, ray id r-FRA"


@pytest.mark.parametrize("text", ["<html>", " \n<p>", "\ufeff<!doctype html>", "<?xml", "<!-- x -->"])
def test_pages(text: str) -> None:
    assert is_page(text)


@pytest.mark.parametrize("text", ["", "Not Found", '{"a": "<p>"}', "a < b"])
def test_no_pages(text: str) -> None:
    assert not is_page(text)
