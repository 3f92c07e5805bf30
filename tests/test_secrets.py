"""No key is shown, wherever it was given and whatever the server does with it."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from support import EVERY_WAY, Run, ask, raw_server

from wandb_inference import CallRecord, ConfigurationError, InferenceError, Settings
from wandb_inference._exchange import HttpRequest

KEY, OTHER, THIRD = "wandb_v1_" + "k3y" * 12, "0ther" * 9, "th1rd" * 9
GIVEN: dict[str, dict[str, Any]] = {
    # name: settings that hold OTHER
    "a header": {"headers": {"X-Api-Key": OTHER}},
    "a header with a scheme": {"headers": {"Authorization": f"Basic {OTHER}"}},
    "a cookie": {"headers": {"Cookie": f"first={OTHER}; second={THIRD}"}},
    "a query": {"query": {"api_key": OTHER, "version": "1"}},
    "a signature": {"query": {"sig": OTHER}},
    "a password": {"query": {"password": OTHER}},
}
SAID = f"{KEY} and {OTHER} and {THIRD}"
ANSWERS: dict[str, bytes] = {
    # name: what the server answers
    "an error": json.dumps({"error": {"message": SAID}}).encode(),
    "no JSON": SAID.encode(),
    "half a JSON": f'{{"choices": "{SAID}'.encode(),
    "another shape": json.dumps({"id": SAID, "choices": [{"message": {"tool_calls": SAID}, "index": SAID}]}).encode(),
    "a page": f"<html><title>{SAID}</title></html>".encode(),
}


def all_of(error: BaseException | None) -> str:
    """Return everything that somebody may print of an error and of what it was made of."""
    if error is None:
        return ""
    told = [repr(error), str(error), str(error.args), str(vars(error)), *traceback.format_exception(error)]
    told += [str(getattr(error, name, "")) for name in ("doc", "object")]
    return "".join(told) + all_of(error.__cause__) + all_of(error.__context__)


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize("status", [200, 400, 502])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("given", GIVEN)
def test_what_a_server_repeats(given: str, answer: str, status: int, run: Run) -> None:
    body, told = ANSWERS[answer], list[CallRecord]()
    head = b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    with raw_server(head + body) as url, pytest.raises(InferenceError) as caught:
        run(ask("x"), base_url=url, api_key=KEY, max_retries=0, on_record=told.append, **GIVEN[given])
    shown = str(caught.value) + repr(caught.value) + "".join(traceback.format_exception(caught.value))
    shown += repr(told) + str([record.failure.message for record in told if record.failure])
    for secret in (KEY, OTHER, *([THIRD] if given == "a cookie" else ())):
        assert secret not in shown
    below = all_of(caught.value.__cause__) + all_of(caught.value.__context__)
    for secret in (KEY, OTHER):
        assert secret not in below


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{KEY}@h/v1",
        f"http://u:pa/{KEY}@h",
        f"http://u:pa/{KEY}@h/v1/chat/completions",
        f"http://u:{KEY}@h:x/v1",
        f"ftp://{KEY}@h",
        f"//{KEY}@h",
        f"{KEY}@h",
        f"http://h/v1?key={KEY}",
    ],
)
def test_base_urls_with_a_key(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.resolve(api_key="k" * 40, base_url=url, env={})
    assert KEY not in all_of(caught.value)


def test_a_request_shows_neither_headers_nor_query() -> None:
    request = HttpRequest("POST", f"http://h/v1?api_key={KEY}", {"authorization": KEY}, KEY.encode())
    assert KEY not in repr(request)
