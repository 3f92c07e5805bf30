"""What the network in front of the service says in its place: one line of what it is, and a hint that fits it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from edges import EDGES, page, plain
from support import EVERY_WAY, STREAMED, Run, ask, raw_server

from wandb_inference import errors
from wandb_inference._wire.page import page_line

pytestmark = pytest.mark.usefixtures("over")

SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("name", EDGES)
def test_edge(name: str) -> None:
    status, body, cls, words, hint, again = EDGES[name]
    content = body.encode()
    head = b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(content))
    with raw_server(*[head + content] * len(EVERY_WAY)) as url:
        for run in EVERY_WAY:
            with pytest.raises(errors.InferenceError) as caught:
                run(ask("x", model="m"), base_url=url, api_key=SECRET, max_retries=0)
            error = caught.value
            assert (type(error), error.retryable) == (cls, again)
            assert words in error.message
            assert hint in error.hint
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < 500
            assert "<" not in str(error)


def test_cloudflares_header_names_the_ray() -> None:
    content = page("Just a moment...").encode()
    head = b"HTTP/1.1 403 X\r\ncf-ray: 9f-FRA\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content)
    for run in EVERY_WAY:
        with (
            raw_server(head + content) as url,
            pytest.raises(errors.AccessDeniedError, match="ray id 9f-FRA") as caught,
        ):
            run(ask("x", model="m"), base_url=url, api_key=SECRET, max_retries=0)
        assert caught.value.request_id == "9f-FRA"


@pytest.mark.parametrize("model", ["openai/gpt-oss-20", "Qwen/Qwen3.6-27B"])
def test_a_wrong_path_says_nothing_of_the_model(model: str) -> None:
    for body in (b'{"detail":"Not Found"}', plain("404 Not Found").encode()):
        head = b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        for run in EVERY_WAY:
            with raw_server(head + body) as url, pytest.raises(errors.NotFoundError) as caught:
                run(ask("x", model=model), base_url=url, api_key=SECRET, max_retries=0, review="off")
            assert caught.value.is_path
            assert caught.value.hint == "That is no model but a path: check base_url, which usually ends in /v1."


KEYS = {
    "title": page(f"no {SECRET}"),
    "heading": page("no", f"key {SECRET}"),
    "body": f"<p>key {SECRET}</p>",
    "a title that is cut": page("x" * 180 + " " + SECRET),
    "entities": page("".join(f"&#{ord(c)};" for c in SECRET)),
    "an error in the form of a stream": f'data: {{"error": "key {SECRET}"}}\n\n',
    "text": f"upstream connect error {SECRET}",
}


@pytest.mark.parametrize("status", [200, 403, 502])
@pytest.mark.parametrize("name", KEYS)
def test_no_key_is_shown(name: str, status: int) -> None:
    content = KEYS[name].encode()
    head = b"HTTP/1.1 %d X\r\nconnection: close\r\ncf-ray: %b\r\n" % (status, SECRET.encode())
    head += b"content-length: %d\r\n\r\n" % len(content)
    for run in EVERY_WAY:
        with raw_server(head + content) as url, pytest.raises(errors.InferenceError) as caught:
            run(ask("x", model="m"), base_url=url, api_key=SECRET, max_retries=0)
        error: Any = caught.value
        assert SECRET[:12] not in f"{error} {error!r}"
        assert "<" not in str(error)


def delta(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
MIXED: dict[str, tuple[bytes, type[errors.InferenceError], str]] = {
    # name: (what comes after good chunks, class, words of the message)
    "no JSON": (b"data: {nonsense\n\n", errors.MalformedResponseError, "no JSON: '{nonsense'"),
    "no object": (b"data: [1]\n\n", errors.MalformedResponseError, "no object"),
    "an unknown shape": (b'data: {"choices": ["x"]}\n\n', errors.MalformedResponseError, "unknown shape"),
    "a page in an event": (
        b"data: <html><title>502</title></html>\n\n",
        errors.MalformedResponseError,
        "a web page, '502'",
    ),
    "a chunk in another": (b'data: {"choices": [{"indexdata: {"x": 1}\n\n', errors.MalformedResponseError, "no JSON"),
    "a page": (plain("502 Bad Gateway").encode(), errors.StreamInterruptedError, "ended before the answer did"),
}


@pytest.mark.parametrize("run", STREAMED)
@pytest.mark.parametrize("name", MIXED)
def test_what_is_mixed_into_a_stream_is_no_wrong_base_url(name: str, run: Run) -> None:
    rest, cls, words = MIXED[name]
    with raw_server(HEAD + delta("Hel") + delta("lo") + rest + delta("!")) as url, pytest.raises(cls) as caught:
        run(ask("x", model="m"), base_url=url, api_key=SECRET, max_retries=0)
    error = caught.value
    assert words in error.message
    assert ".partial" in error.hint
    assert "base_url" not in str(error)
    assert error.partial is not None
    assert error.partial.text.startswith("Hello")


@pytest.mark.parametrize("run", STREAMED)
def test_a_bad_chunk_at_first_may_be_a_wrong_base_url(run: Run) -> None:
    with raw_server(HEAD + b"data: {nonsense\n\n") as url, pytest.raises(errors.MalformedResponseError) as caught:
        run(ask("x", model="m"), base_url=url, api_key=SECRET, max_retries=0)
    assert "check that base_url" in caught.value.hint.lower()
    assert caught.value.partial is None


@pytest.mark.parametrize("part", ["<", "<title", "<title ", "<h1>", "<h1 ", "&", "ray id ", "<a", "< >", "\ufeff "])
def test_no_page_takes_long_to_read(part: str) -> None:
    began = time.process_time()
    page_line("<" + part * 1_000_000)
    assert time.process_time() - began < 5
