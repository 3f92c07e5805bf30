"""What is left out before anything is written: keys always, pictures always, what was said as asked."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from autolog_support import spooled
from hypothesis import given
from hypothesis import strategies as st
from support import MODEL, ask, grows_linearly

from wandb_inference import ChatOptions, ChatRequest, Client, InferenceError, autolog
from wandb_inference._autolog import redact
from wandb_inference._autolog.keys import BLOT, Secrets
from wandb_inference._autolog.redact import _in_pieces, truncated, without_media
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse

HEX, V1, SK = (
    "0123456789abcdef" * 2 + "01234567",
    "wandb_v1_AbCdEf123456_abcdefghijklmnop",
    "sk-proj-abcdefghijklmnop1234",
)
PNG = base64.b64encode(b"\x89PNG pixels").decode()
TEXTS: dict[str, tuple[str, str]] = {
    # name: (text, what is left)
    "W&B's": (f"key {V1}.", "key ***."),
    "W&B's, older": (f"WANDB_API_KEY={HEX}", "WANDB_API_KEY=***"),
    "sk-": (f"({SK})", "(***)"),
    "bearer": ("Authorization: Bearer abc.DEF-123_456=", "Authorization: Bearer ***"),
    "basic": ("basic dXNlcjpwYXNzd29yZA==", "basic ***"),
    "a URL's parameter": ("https://h/p?api_key=abcdef123&x=1", "https://h/p?api_key=***&x=1"),
    "a URL's password": ("redis://user:hunter2@host/0", "redis://user:***@host/0"),
    "JSON in a text": ('{"api_key": "abcdef123", "q": 1}', '{"api_key": "***", "q": 1}'),
    "JSON in JSON": ('{\\"api-key\\": \\"abcdef123\\"}', '{\\"api-key\\": \\"***\\"}'),
    "GitHub's": ("ghp_abcdefghijklmnop1234", "***"),
    "a name with something before it": ("export OPENAI_API_KEY=4f9c0d1e2b3a4958", "export OPENAI_API_KEY=***"),
    "AWS's": ("AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY: ***"),
    "a password": ('"password": "hunter2hunter2"', '"password": "***"'),
    "another scheme": ("authorization: ApiKey abcdef123456", "authorization: ApiKey ***"),
    "a JSON web token": (f"x eyJhbGciOi.{'a' * 20}.{'b' * 20} y", "x *** y"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "***"),
    "a signed URL": ("https://h/p?X-Amz-Signature=abcdef&x=1", "https://h/p?X-Amz-Signature=***&x=1"),
    "Stripe's": ("sk_live_abcdefghijklmnop", "***"),
    "a UUID is none": ("3f2b8c1e-0d1f-4b6e-9a55-1f0e2d3c4b5a", "3f2b8c1e-0d1f-4b6e-9a55-1f0e2d3c4b5a"),
    "in a token with other names": ("secret=password=api_key=a1b2c3d4", "secret=***"),
    "behind a value without one": ("secret=password, api_key=a1b2c3d4", "secret=password, api_key=***"),
    "a name in another script": ("\u00f6api_key=a1b2c3d4", "\u00f6api_key=***"),
    "a token of which the first begins no end": (f"eyJabcdef-eyJhbGciOi.{'a' * 20}.b", "***"),
    "a token in two parts is none": (f"eyJhbGciOi.{'a' * 20} eyJhbGciOi", f"eyJhbGciOi.{'a' * 20} eyJhbGciOi"),
    "two private keys, and half a one": (
        "-----BEGIN PRIVATE KEY-----a-----BEGIN PRIVATE KEY-----b-----END PRIVATE KEY-----c-----END EC PRIVATE KEY-----"
        "-----BEGIN EC PRIVATE KEY-----d-----END EC PRIVATE KEY-----e-----BEGIN PRIVATE KEY-----f",
        "***c-----END EC PRIVATE KEY-----***e-----BEGIN PRIVATE KEY-----f",
    ),
    "a sha256 is none": ("a" * 64, "a" * 64),
    "words are none": ("the basic idea of a secret: bearer of news", "the basic idea of a secret: bearer of news"),
    "task-force is none": ("a task-force-of-engineers", "a task-force-of-engineers"),
}


@pytest.mark.parametrize(
    "text",
    [
        "Explain basic arithmetic and the basic principles.",
        "api_key: required string; authorization: everything",
        "bearer certificates, secret: ingredient, the token: nothing",
        "Passwords: choose long ones.",
    ],
)
def test_ordinary_english_stays(text: str) -> None:
    assert Secrets().text(text) == text


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str) -> None:
    text, left = TEXTS[name]
    assert Secrets().text(text) == left


# Of each of these, a text has as many as fit: what a pattern begins with, goes on with, and does not end with.
REPEATED = (
    *("a-", "A", " ", "\n", "_", "-", "=", "key=", "api_key: ", 'secret"', 'secret"""""""', "password='a", "passw"),
    *("authorization=", "authorization: a ", "bearer ", "bearer-a", "bearer     ", "basic aaaaaaaa ", "?", "?key"),
    *("?key=?", "?aaaaa&", "://", "://a:b", "://aaaaaaaa", "wandb_v1", "wandb_v1-", "wandb_v1_", "abcdef0123"),
    *(
        "abcdef0123-",
        "sk-",
        "rk_ ",
        "ghp_a ",
        "github_pat_",
        "AKIA",
        "A",
        "eyJabcdef-",
        "eyJabcdef.",
        "eyJabcdef.aaaaaaaaa",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN AAAAAA", "data:", "data:;", "data:a/b;"),
    *("data:a", "data:a/", ";x", ";base64", ";base64,", "%2B", "\\n", "correct horse ", "correct horse battery"),
    *("The quick brown fox. ", '{"role": "user", "content": "Hello"}, ', "f(x_1, y_2)[api_key_of(z)]\n"),
)
SIGNS = " key token secret passw authorization bearer basic token= :// wandb_v sk- _ akia eyj private key ;base64,"


@pytest.mark.parametrize("ending", ["", SIGNS])
@pytest.mark.parametrize("part", REPEATED)
def test_eight_times_the_text_takes_about_eight_times_the_work(part: str, ending: str) -> None:
    secrets = Secrets()
    secrets.learn(["correct horse battery staple"])

    def work(size: int) -> None:
        text = part * (size // len(part)) + ending
        secrets.text(text)
        without_media(text)

    assert grows_linearly(work)


def test_keys_that_were_sent_are_known() -> None:
    secrets = Secrets()
    secrets.learn(["short", "correct horse!", "abcdefghijklmnopqrstuvwxyz", "assistant-gateway-prod-2024-key"])
    assert secrets.text("a correct horse! and short") == "a *** and short"
    assert secrets.text("assistant") == "assistant"
    assert secrets.text("abcdefghijklmnopqrstuvwxyz, abcdefghijkl… and abcdefg") == "***, ***… and abcdefg"


def test_names_of_secrets() -> None:
    row = {
        "params": {"api_key": "x1", "max_tokens": 3, "nested": [{"Authorization": "y"}]},
        "tools": {"password": {"a": 1}},
    }
    assert Secrets().clean(row) == {
        "params": {"api_key": "***", "max_tokens": 3, "nested": [{"Authorization": "***"}]},
        "tools": {"password": {"a": 1}},
    }


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON, st.text(alphabet="abcdefgh0123456789_-.", min_size=20, max_size=40), st.text(), st.text())
def test_a_key_survives_nowhere(value: Any, key: str, before: str, after: str) -> None:
    secrets = Secrets()
    secrets.learn([key])
    held = {before: [value, f"{before}{key}{after}", {f"{key}": before}]}
    assert key not in json.dumps(secrets.clean(held), ensure_ascii=False)
    assert secrets.clean(secrets.clean(held)) == secrets.clean(held)


DIGEST = hashlib.sha256(b"\x89PNG pixels").hexdigest()
SHOWN = {"mime": "image/png", "bytes": 11, "sha256": DIGEST}
MEDIA: dict[str, tuple[Any, Any]] = {
    # name: (part, what is left)
    "a picture": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": SHOWN, "detail": "low"}},
    ),
    "with a parameter": (f"data:image/png;name=x.png;base64,{PNG}", SHOWN),
    "in a text": (f"see ![x](data:image/png;base64,{PNG}) there", f"see ![x]({json.dumps(SHOWN)}) there"),
    "a sound": (
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": {**SHOWN, "mime": "wav"}, "format": "wav"}},
    ),
    "a file": ({"file": {"file_data": PNG}}, {"file": {"file_data": {**SHOWN, "mime": ""}}}),
    "a file as a URL": (
        {"file": {"file_data": f"data:application/pdf;base64,{PNG}"}},
        {"file": {"file_data": {**SHOWN, "mime": "application/pdf"}}},
    ),
    "in lines": (f"data:image/png;base64,{PNG[:4]}\n{PNG[4:]}\n", SHOWN),
    "in capitals": (f"DATA:IMAGE/PNG;BASE64,{PNG}", SHOWN),
    "escaped in a URL": (f"data:image/png;base64,{PNG.replace('=', '%3D')}", SHOWN),
    "escaped in JSON": (
        f'{{\\"url\\": \\"data:image\\/png;base64,{PNG}\\"}}',
        f'{{\\"url\\": \\"{json.dumps(SHOWN)}\\"}}',
    ),
    "Anthropic's": (
        {"type": "base64", "media_type": "image/png", "data": PNG},
        {"type": "base64", "media_type": "image/png", "data": SHOWN},
    ),
    "a picture's address": ({"url": "https://h/x.png"}, {"url": "https://h/x.png"}),
    "data of something else": ({"data": "x"}, {"data": "x"}),
    "no base64": (
        "data:image/png;base64,A",
        {"mime": "image/png", "bytes": 1, "sha256": hashlib.sha256(b"A").hexdigest()},
    ),
}


@pytest.mark.parametrize("name", MEDIA)
def test_media(name: str) -> None:
    part, left = MEDIA[name]
    assert without_media([part]) == [left]


def test_truncated() -> None:
    assert truncated({"a": ["xxxxx", 5, None]}, 3) == {"a": ["xxx…[2 more]", 5, None]}


SAID = "The patient's name is Grace."
TOOL = {"type": "function", "function": {"name": "look_up", "description": SAID, "parameters": {"type": "object"}}}
CALLS = (
    ChatRequest(MODEL, [{"role": "user", "content": SAID}], ChatOptions(tools=[TOOL], stop=[SAID], reasoning="low")),
    ask(SAID),
    ask(SAID),
)


def logged(tmp_path: Path, **arguments: Any) -> list[dict[str, Any]]:
    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key, max_retries=0) as client:
        uses = (ToolUse("look_up", {"q": SAID}),)
        emulator.script(Reply(SAID, reasoning=SAID, tool_calls=uses), Reply(SAID), Fault(status=400, message=SAID))
        autolog(sinks=["jsonl"], spool_dir=tmp_path, **arguments)
        for request in CALLS:
            try:
                client.chat(request)
            except InferenceError:
                continue
        assert autolog.disable(30)
    return spooled(tmp_path)


@pytest.mark.parametrize("content", ["metadata", "hash"])
def test_nothing_that_was_said_touches_the_disk(content: str, tmp_path: Path) -> None:
    rows = logged(tmp_path, content=content)
    for path in tmp_path.iterdir():
        assert "Grace" not in path.read_text("utf-8")
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert (rows[0]["tool_names"], rows[0]["params"]) == (["look_up"], {"reasoning_effort": "low"})
    assert [row["prompt_chars"] for row in rows] == [len(SAID)] * 3
    assert [row["redaction"] for row in rows] == [content] * 3
    assert rows[0]["cost_usd"] > 0
    assert rows[2]["error_type"] == "BadRequestError"


def test_hashes_tell_who_repeats_what(tmp_path: Path) -> None:
    first, second, third = logged(tmp_path / "a", content="hash")
    assert second["messages"] == third["messages"] == first["messages"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", first["messages"][0]["sha256"])
    assert second["content"] == first["reasoning"]
    assert first["tool_calls"][0]["name"] == "look_up"
    other = logged(tmp_path / "b", content="hash")
    assert other[1]["content"] != second["content"]  # each session has a salt of its own


def test_truncate(tmp_path: Path) -> None:
    first, second, third = logged(tmp_path, content="truncate:5")
    assert second["content"] == f"{SAID[:5]}…[{len(SAID) - 5} more]"
    assert first["messages"][0]["content"].startswith("The p…[")
    assert third["error_message"].endswith(" more]")
    assert first["tool_names"] == ["look_up"]


def test_a_pattern_sees_a_text_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x" * 9_990 + " patients \n" * 5_000 + "PATIENT" + "y" * 25_000 + "PATIENT"
    left = _in_pieces(re.compile("PATIENT"), text)
    assert left == text.replace("PATIENT", BLOT)
    assert _in_pieces(re.compile("a{20000}"), "a" * 20_000) == "a" * 20_000
    monkeypatch.setattr(redact, "_PIECE", 500)
    assert grows_linearly(lambda size: _in_pieces(re.compile(r"a[^b]*c"), "a" * size))


def test_functions_and_patterns(tmp_path: Path) -> None:
    def mine(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["tool_names"] else {**row, "content": (row["content"] or "").upper()}

    rows = logged(tmp_path, content=mine, redact=["GRACE", re.compile("(?i)patient")])
    assert len(rows) == 2  # the one with tools was withheld
    assert autolog.stats()["withheld"] == 1
    assert rows[0]["content"] == "THE ***'S NAME IS ***."
    assert rows[0]["redaction"] == "callable"


def test_a_key_is_blotted_out_before_it_is_cut(tmp_path: Path) -> None:
    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        autolog(sinks=["jsonl"], spool_dir=tmp_path, content="truncate:40")
        client.chat(ask(f"the key {HEX} and words"))
        assert autolog.disable(30)
    (row,) = spooled(tmp_path)
    assert row["messages"][0]["content"] == "the key *** and words"


def test_patterns_hold_for_rows_that_are_not_sampled(tmp_path: Path) -> None:
    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        autolog(sinks=["jsonl"], spool_dir=tmp_path, redact=[r"\d{3}-\d{2}-\d{4}"], sample=0)
        with autolog.context(session="user 123-45-6789", tags={"123-45-6789": "123-45-6789"}):
            client.chat(ask("Hello"))
        assert autolog.disable(30)
    (row,) = spooled(tmp_path)
    assert (row["session_id"], row["tags"], row["redaction"]) == ("user ***", {"***": "***"}, "not sampled")


@pytest.mark.parametrize(("keeps", "rows"), [(True, 2), (False, 1)])
def test_functions_need_not_cope_with_rows_that_are_not_sampled(keeps: bool, rows: int, tmp_path: Path) -> None:
    def mine(row: dict[str, Any]) -> dict[str, Any] | None:
        return {**row, "content": row["messages"][0]["content"]} if keeps or row["messages"] else None

    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        autolog(sinks=["jsonl"], spool_dir=tmp_path, content=mine, sample=0.5, sample_key=lambda row: row["session_id"])
        for session in ("s2", "s5"):  # the second one is drawn
            with autolog.context(session=session):
                client.chat(ask("Hello"))
        assert autolog.disable(30)
    written = spooled(tmp_path)
    assert len(written) == rows
    assert (written[-1]["content"], written[-1]["redaction"]) == ("Hello", "callable")
    assert autolog.stats()["errors"] == 0


def test_what_fails_tells_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def judge(row: dict[str, Any]) -> None:
        raise ValueError(f"cannot parse {row['content']} {SK}")

    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        autolog(sinks=[judge], spool_dir=tmp_path, redact=[judge])
        client.chat(ask(SAID))
        assert not autolog.disable(30)
    told = caplog.text + str(autolog.stats())
    assert "ValueError" in told
    assert SK not in told
    assert "Grace" not in told


def test_a_function_cannot_take_away_what_readers_need(tmp_path: Path) -> None:
    (row,) = logged(tmp_path, redact=[lambda row: {"content": row["content"]}])[:1]
    assert {"schema", "call_id", "status", "started_at", "content"} <= set(row)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_INFERENCE_AUTOLOG_CONTENT", "metadata")
    assert [row["content"] for row in logged(tmp_path, content="full")] == [None] * 3


def test_a_function_of_the_row_cannot_let_a_key_out(tmp_path: Path) -> None:
    rows = logged(tmp_path, content=lambda row: {**row, "content": V1, "mine": {"emulator-key": "emulator-key"}})
    assert [row["content"] for row in rows] == ["***"] * 3
    assert [row["mine"] for row in rows] == [{"***": "***"}] * 3


def test_keys_in_errors_and_tags(tmp_path: Path) -> None:
    emulator = Emulator()
    with emulator, Client(base_url=emulator.url, api_key=emulator.api_key, max_retries=0) as client:
        emulator.script(Fault(status=400, message=f"Wrong header: Authorization: Bearer {SK}"))
        autolog(sinks=["jsonl"], spool_dir=tmp_path, tags={"who": SK})
        with pytest.raises(InferenceError), autolog.context(session=f"s-{V1}"):
            client.chat(ask("Hello"))
        assert autolog.disable(30)
    (path,) = tmp_path.glob("*.jsonl")
    text = path.read_text("utf-8")
    assert SK not in text
    assert V1 not in text
    row = json.loads(text)
    assert (row["tags"], row["session_id"]) == ({"who": "***"}, "s-***")


def test_pictures_are_told_by_type_size_and_digest(emulator: Emulator, tmp_path: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    autolog(sinks=["jsonl"], spool_dir=tmp_path)
    with Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        client.chat(ChatRequest("Qwen/Qwen3.8-27B", [{"role": "user", "content": [part]}]))
    assert autolog.disable(30)
    (path,) = tmp_path.glob("*.jsonl")
    row = json.loads(path.read_text("utf-8"))
    assert row["messages"][0]["content"][0]["image_url"]["url"] == SHOWN
    assert row["n_images"] == 1
    assert PNG not in path.read_text("utf-8")
