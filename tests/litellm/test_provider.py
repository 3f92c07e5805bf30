"""The provider through LiteLLM's SDK and Router: whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import litellm
import pytest
from litellm import exceptions as theirs
from litellm.integrations.custom_logger import CustomLogger
from litellm.llms.custom_llm import CustomLLM
from litellm.router import Router
from support import raw_server, sse

from wandb_inference import Budget, Catalog, ReviewWarning, UnknownModelError
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.litellm import WandbInferenceLLM, deployments, proxy_config, register, shims

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM itself warns of much

ID, GEMMA = "openai/gpt-oss-20b", "wandb_inference/google/gemma-4-31B-it"
MODEL = f"wandb_inference/{ID}"
Call = Callable[..., dict[str, Any]]


def whole(**given: Any) -> Any:
    return litellm.completion(**given)


def awhole(**given: Any) -> Any:
    return asyncio.run(litellm.acompletion(**given))


def stream(**given: Any) -> Any:
    return litellm.stream_chunk_builder(list(litellm.completion(**given, stream=True)))


async def achunks(**given: Any) -> list[Any]:
    return [chunk async for chunk in await litellm.acompletion(**given, stream=True)]


def astream(**given: Any) -> Any:
    return litellm.stream_chunk_builder(asyncio.run(achunks(**given)))


PAYMENT: Any = getattr(theirs, "PaymentRequiredError", theirs.APIError)  # LiteLLM 1.91 has none of its own
EVERY_WAY = pytest.mark.parametrize("run", [whole, awhole, stream, astream])
BOTH = pytest.mark.parametrize("run", [whole, awhole])
STREAMED = pytest.mark.parametrize("run", [stream, astream])


ODD = {
    "prompt_tokens": 1237,
    "completion_tokens": 353,
    "total_tokens": 1590,
    "prompt_tokens_details": {"cached_tokens": 409},
    "completion_tokens_details": {"reasoning_tokens": 211},
}
_PRICE = Catalog.bundled().card(ID).price
assert _PRICE
assert _PRICE.cached_input is not None
BILL = float((828 * _PRICE.input + 409 * _PRICE.cached_input + 353 * _PRICE.output) / 1_000_000)


@EVERY_WAY
def test_the_answer_its_counts_and_its_cost(run: Any, call: Call, emulator: Emulator) -> None:
    emulator.script(Reply("Salut toi", "The user wants some French.", usage=ODD))
    asked = {"stream_options": {"include_usage": True}} if run in (stream, astream) else {}
    answer = run(**call("Say hello in seven odd words, please.", **asked))
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("Salut toi", "The user wants some French.")
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1237, 353, 1590)
    assert usage.prompt_tokens_details.cached_tokens == 409
    assert usage.completion_tokens_details.reasoning_tokens == 211
    billed = litellm.completion_cost(answer, custom_llm_provider="wandb_inference", model=ID)
    cost = getattr(usage, "cost", billed)  # LiteLLM 1.91 leaves it out where it adds chunks up
    assert billed == cost == pytest.approx(BILL, rel=1e-9)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_router_bills_what_the_service_counted(
    streamed: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = Logger()
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, logger])
    emulator.script(Reply("Salut toi", "French.", usage=ODD))

    async def run() -> None:
        of = router(emulator)
        await (astreamed(of, **ASK) if streamed else of.acompletion(**ASK))
        await logger.written()

    asyncio.run(run())
    payload = logger.seen[-1]["standard_logging_object"]
    assert (payload["prompt_tokens"], payload["completion_tokens"]) == (1237, 353)
    assert payload["response_cost"] == pytest.approx(BILL, rel=1e-9)


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": True}}], ids=["silent", "usage asked for"])
def test_a_stream_that_another_model_took_over_is_billed(
    asked: dict[str, Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = Logger()
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, logger])
    emulator.script(Fault("cut", after=0), Reply("Salut toi", "French.", usage=ODD))

    async def run() -> None:
        await astreamed(router(emulator, num_retries=0), **ASK, **asked)
        await logger.written()

    asyncio.run(run())
    prices = Catalog.bundled().card("openai/gpt-oss-120b").price
    assert prices
    assert prices.cached_input is not None
    bill = float((828 * prices.input + 409 * prices.cached_input + 353 * prices.output) / 1_000_000)
    assert logger.seen[-1]["standard_logging_object"]["response_cost"] == pytest.approx(bill, rel=1e-9)


class Logger(CustomLogger):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def log_success_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
        self.seen.append(kwargs)

    async def async_log_success_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
        self.seen.append(kwargs)

    async def written(self) -> None:
        """Wait: LiteLLM logs in a thread, or in a task of this loop."""
        for _ in range(100):
            if self.seen:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_loggers_see_cost_and_request_and_no_key(
    later: bool, streamed: bool, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = Logger()
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, logger])

    async def run() -> None:
        if later:
            await (achunks(**call()) if streamed else litellm.acompletion(**call()))
        else:
            (stream if streamed else whole)(**call())
        await logger.written()

    asyncio.run(run())
    payload = logger.seen[-1]["standard_logging_object"]
    known = Catalog.bundled().card(ID).price
    assert known is not None
    exact = (payload["prompt_tokens"] * known.input + payload["completion_tokens"] * known.output) / 1_000_000
    assert payload["response_cost"] == pytest.approx(float(exact), rel=1e-9)
    assert payload["total_tokens"] > 5
    assert payload["api_base"].startswith("http://127.0.0.1:")
    assert "emulator-key" not in str(payload)


@pytest.mark.parametrize("n", [1, 2])
def test_every_streamed_answer_says_whose_it_is(n: int, call: Call) -> None:
    sync, later = list(litellm.completion(**call(n=n), stream=True)), asyncio.run(achunks(**call(n=n)))
    for chunks in (sync, later):
        roles = [(choice.index, choice.delta.role) for c in chunks for choice in c.choices if choice.delta.role]
        assert roles == [(index, "assistant") for index in range(n)]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@EVERY_WAY
@pytest.mark.parametrize(
    ("given", "may"),
    [
        ({}, lambda card: True),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, lambda card: card.accepts("image")),
        (
            {"messages": [{"role": "user", "content": "word " * 300_000}], "max_tokens": 9},
            lambda card: (card.context_window or 0) > 300_000,
        ),
        ({"tools": [TOOL]}, lambda card: card.tools),
        ({"max_cost": 0.0001, "max_tokens": 100}, lambda card: card.price.output < 1),
        ({"models": ["zai-org/GLM-5.2"]}, lambda card: card.id == "zai-org/GLM-5.2"),
    ],
    ids=["anything", "an image", "a long prompt", "a tool", "a ceiling", "a list"],
)
def test_auto(given: dict[str, Any], may: Callable[[Any], bool], run: Any, call: Call, emulator: Emulator) -> None:
    answer = run(**call(**{"model": "wandb_inference/auto:cheapest", **given}))
    (asked,) = [seen.json()["model"] for seen in emulator.requests]
    assert may(Catalog.bundled().card(asked))
    assert answer.model.endswith(asked)
    assert litellm.completion_cost(answer, custom_llm_provider="wandb_inference") > 0


def test_efforts_in_litellms_words(call: Call, emulator: Emulator) -> None:
    for effort in ("disable", "default", {"effort": "high"}):
        whole(**call(model=GEMMA, reasoning_effort=effort))
    off, silent, high = (seen.json() for seen in emulator.requests)
    assert off["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"chat_template_kwargs", "reasoning_effort"} & set(silent)
    assert high["reasoning_effort"] == "high"


@EVERY_WAY
def test_no_header_of_the_callers_is_shown(run: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Shown(CustomLogger):  # a function would be called only if LiteLLM had one before: it sets itself up once
        def log_pre_api_call(self, model: str, messages: Any, kwargs: Any) -> None:
            shown.append(kwargs["additional_args"])

    monkeypatch.setattr(litellm, "input_callback", [Shown()])
    secret = "own-secret-0123456789"
    body = json.dumps({"error": {"message": f"Bearer {secret} is not welcome", "type": "x", "code": 400}}).encode()
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
    own = {"Authorization": f"Bearer {secret}", "x-api-key": secret}
    with (
        raw_server(head + b"content-length: %d\r\n\r\n%b" % (len(body), body)) as url,
        pytest.raises(theirs.BadRequestError) as caught,
    ):
        run(**call(api_base=url, extra_headers=own))
    error: Any = caught.value
    assert secret not in f"{error} {error!r} {error.response.text} {error.__cause__} {shown}"
    assert shown


@EVERY_WAY
def test_parallel_tool_calls(run: Any, call: Call, emulator: Emulator) -> None:
    emulator.script(Reply("", "", (ToolUse("f", {"a": "ü"}), ToolUse("g", {"b": [1, 2]}))))
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "fg"]
    answer = run(**call(tools=tools, tool_choice="auto"))
    calls = [(c.function.name, json.loads(c.function.arguments)) for c in answer.choices[0].message.tool_calls]
    assert calls == [("f", {"a": "ü"}), ("g", {"b": [1, 2]})]
    assert answer.choices[0].finish_reason == "tool_calls"


@BOTH
def test_n_answers_and_log_probabilities(run: Any, call: Call) -> None:
    answer = run(**call(n=2, logprobs=True, top_logprobs=1))
    assert [choice.message.content for choice in answer.choices] == ["You said: Hello", "You said: Hello (2)"]
    assert answer.choices[0].logprobs.content[0].token


def test_streams_of_n_answers_end_each_for_its_reason(call: Call) -> None:
    sync, later = list(litellm.completion(**call(n=2), stream=True)), asyncio.run(achunks(**call(n=2)))
    for chunks in (sync, later):
        texts, reasons = {0: "", 1: ""}, {}
        for chunk in chunks:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    reasons[choice.index] = choice.finish_reason
        assert texts == {0: "You said: Hello", 1: "You said: Hello (2)"}
        assert reasons == {0: "stop", 1: "stop"}


def test_what_one_read_brought_is_one_chunk() -> None:
    deltas: list[dict[str, Any]] = [{"reasoning": f"r{n} "} for n in range(50)]
    deltas += [{"content": f"w{n} "} for n in range(50)]
    chunks = [{"id": "1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    answer = sse(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    found = []
    for coalesce in (True, False):
        litellm.custom_provider_map = [{"provider": "other", "custom_handler": WandbInferenceLLM(coalesce=coalesce)}]
        litellm.utils.custom_llm_setup()  # type: ignore[no-untyped-call]
        with raw_server(answer) as url:
            messages = [{"role": "user", "content": "x"}]
            given: Any = {"model": "other/m", "messages": messages, "api_base": url, "api_key": "k", "max_retries": 0}
            read: list[Any] = list(litellm.completion(**given, stream=True))
        found.append(
            (
                "".join(chunk.choices[0].delta.content or "" for chunk in read),
                "".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in read),
                len(read) < 10,
            )
        )
    (text, thought, few), single = found
    assert (text, thought, few) == ("".join(f"w{n} " for n in range(50)), "".join(f"r{n} " for n in range(50)), True)
    assert single == (text, thought, False)


def test_streamed_log_probabilities_come_with_their_text(call: Call) -> None:
    chunks = list(litellm.completion(**call(logprobs=True), stream=True))
    tokens = [
        t["token"] for c in chunks if c.choices and c.choices[0].logprobs for t in c.choices[0].logprobs["content"]
    ]
    assert "".join(tokens).endswith("You said: Hello")


@EVERY_WAY
def test_what_leaves(run: Any, call: Call, emulator: Emulator) -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": []},
        {"role": "user", "content": "h"},
    ]
    given = {"top_k": 3, "extra_body": {"min_p": 0.1}, "project": "team/project", "extra_headers": {"x-mine": "1"}}
    run(**call(messages, temperature=0.5, stop="x", seed=1, max_completion_tokens=99, **given))
    seen = emulator.requests[-1]
    body = seen.json()
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "assistant", "content": "", "reasoning": "r"},
        {"role": "user", "content": "h"},
    ]
    expected = {"temperature": 0.5, "stop": ["x"], "seed": 1, "max_tokens": 99, "top_k": 3, "min_p": 0.1, "model": ID}
    assert {name: body[name] for name in expected} == expected
    assert (seen.headers["openai-project"], seen.headers["x-mine"]) == ("team/project", "1")
    assert body.get("stream_options") == ({"include_usage": True} if run in (stream, astream) else None)


def test_images_as_plain_strings_are_objects(call: Call, emulator: Emulator) -> None:
    image = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
    whole(**call([{"role": "user", "content": [image]}], model=GEMMA))
    sent = emulator.requests[-1].json()["messages"][0]["content"][0]
    assert sent["image_url"] == {"url": "data:image/png;base64,AAAA"}


@EVERY_WAY
def test_parameters_that_litellm_keeps_from_custom_providers(run: Any, call: Call, emulator: Emulator) -> None:
    run(**call(reasoning_effort="low", user="somebody"))
    run(**call(model=GEMMA, thinking={"type": "enabled"}))
    effort, thinking = (seen.json() for seen in emulator.requests)
    assert (effort["reasoning_effort"], effort["user"]) == ("low", "somebody")
    assert thinking["chat_template_kwargs"] == {"enable_thinking": True}


def test_a_litellm_without_that_seam_has_its_own_hook(
    call: Call, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: Any = [(litellm.main, "get_optional_params")]
    places += [(module, "get_supported_openai_params") for module in (litellm, litellm.utils)]
    for module, name in places:
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)
    monkeypatch.setattr("wandb_inference.litellm.registration.install", lambda: False)
    register()
    register()
    assert sum(type(callback).__name__ == "_Options" for callback in litellm.callbacks) == 1
    awhole(**call(reasoning_effort="low"))
    whole(**call(reasoning_effort="high", allowed_openai_params=["reasoning_effort"]))
    assert [seen.json()["reasoning_effort"] for seen in emulator.requests] == ["low", "high"]
    with pytest.raises(theirs.UnsupportedParamsError):
        whole(**call(reasoning_effort="low"))


def test_litellm_says_which_parameters_are_taken() -> None:
    named = litellm.get_supported_openai_params(MODEL) or []
    assert {"reasoning_effort", "thinking", "user", "tools"} <= set(named)
    assert "user" not in (litellm.get_supported_openai_params("deepseek/deepseek-chat") or [])


@EVERY_WAY
def test_an_alias_costs_what_its_model_costs(run: Any, call: Call) -> None:
    name = "wandb_inference/gpt-oss-20b"
    assert litellm.completion_cost(run(**call(model=name)), model=name) > 0
    assert litellm.get_model_info(name)["max_input_tokens"] == 131_072


def test_review_as_the_caller_wants_it(call: Call, emulator: Emulator) -> None:
    given = call(model="wandb_inference/meta-llama/Llama-3.1-8B-Instruct", reasoning_effort="low")
    with pytest.raises(theirs.BadRequestError, match="review='off'"):
        whole(**given)
    whole(**given, review="off")
    assert "review" not in emulator.requests[-1].json()
    with pytest.raises(theirs.BadRequestError, match="review='no' does not exist"):
        whole(**given, review="no")


NOT_SERVED: dict[str, tuple[dict[str, Any], str]] = {
    # LiteLLM's function: (its arguments, what there is none of)
    "embedding": ({"input": ["x"]}, "embeddings"),
    "image_generation": ({"prompt": "x"}, "image generation"),
    "image_edit": ({"image": b"x", "prompt": "x"}, "image editing"),
    "image_variation": ({"image": b"x"}, "image variations"),
    "rerank": ({"query": "x", "documents": ["y"]}, "reranking"),
    "transcription": ({"file": ("a.wav", b"x")}, "transcription"),
    "speech": ({"input": "x", "voice": "y"}, "speech"),
    "moderation": ({"input": "x"}, "moderation"),
    "ocr": ({"document": {"type": "document_url", "document_url": "http://127.0.0.1:9"}}, "OCR"),
    "video_generation": ({"prompt": "x"}, "video generation"),
}


@pytest.mark.parametrize("name", NOT_SERVED)
@pytest.mark.parametrize("model", [{"model": MODEL}, {"model": ID, "custom_llm_provider": "wandb_inference"}])
def test_what_the_service_does_not_serve(model: dict[str, str], name: str) -> None:
    if not hasattr(litellm, name):
        pytest.skip(f"this LiteLLM has no {name}")
    given, what = NOT_SERVED[name]
    arguments = {**model, **given, "api_base": "http://127.0.0.1:9", "api_key": "k"}
    with pytest.raises(theirs.BadRequestError, match=f"serves no {what}") as caught:
        getattr(litellm, name)(**arguments)
    assert caught.value.llm_provider == "wandb_inference"
    with pytest.raises(theirs.BadRequestError, match=f"serves no {what}"):
        asyncio.run(getattr(litellm, f"a{name}")(**arguments))


def test_the_models_are_listed() -> None:
    listed = litellm.get_valid_models(custom_llm_provider="wandb_inference")
    assert MODEL in listed
    assert listed == litellm.models_by_provider["wandb_inference"]
    assert not any(name.startswith("wandb_inference/") for name in litellm.get_valid_models())


def test_parameters_are_let_through_wherever_they_are_asked_for() -> None:
    for function in (litellm.get_optional_params, litellm.utils.get_optional_params):
        found = function(model=ID, custom_llm_provider="wandb_inference", reasoning_effort="low", user="me")
        assert (found["reasoning_effort"], found["user"]) == ("low", "me")


def test_no_tokenizer_is_downloaded(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def downloads(*_: Any, **__: Any) -> None:
        pytest.fail("a tokenizer of a hub")

    monkeypatch.setattr("tokenizers.Tokenizer.from_pretrained", downloads, raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", downloads)
    for model in ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"):
        given = call(model=f"wandb_inference/{model}", stream=True)
        assert list(litellm.completion(**given))
        assert litellm.token_counter(model=f"wandb_inference/{model}", text="Hello there.") > 0


def test_a_stream_was_made_at_one_time(call: Call) -> None:
    for chunks in (list(litellm.completion(**call(), stream=True)), asyncio.run(achunks(**call()))):
        assert len({chunk.created for chunk in chunks}) == 1


def test_old_forms_are_dropped_where_litellm_is_told_to(call: Call, emulator: Emulator) -> None:
    with pytest.warns(UserWarning, match="function_call, functions"):
        litellm.completion(**call(functions=[{"name": "f"}], function_call="auto", drop_params=True))
    assert not {"functions", "function_call", "tools"} & set(emulator.requests[-1].json())


def test_headers_of_the_response(call: Call) -> None:
    async def opened() -> Any:
        stream = await litellm.acompletion(**call(), stream=True)
        async for _ in stream:
            pass
        return stream

    answers = [whole(**call()), awhole(**call()), litellm.completion(**call(), stream=True), asyncio.run(opened())]
    for answer in answers:
        assert answer._hidden_params["additional_headers"]["llm_provider-x-request-id"]


@EVERY_WAY
def test_a_call_is_reviewed_once(run: Any, call: Call) -> None:
    with pytest.warns(ReviewWarning) as warned:
        run(**call(reasoning_effort="xhigh"))
    assert len([w for w in warned if w.category is ReviewWarning]) == 1


# Errors

ERRORS: dict[int, type[Exception]] = {
    400: theirs.BadRequestError,
    401: theirs.AuthenticationError,
    402: PAYMENT,
    403: theirs.PermissionDeniedError,
    404: theirs.NotFoundError,
    408: theirs.Timeout,
    422: theirs.BadRequestError,
    429: theirs.RateLimitError,
    500: theirs.InternalServerError,
    502: theirs.BadGatewayError,
    503: theirs.ServiceUnavailableError,
    504: theirs.Timeout,
}


@EVERY_WAY
@pytest.mark.parametrize("status", ERRORS)
def test_statuses(status: int, run: Any, call: Call, emulator: Emulator) -> None:
    emulator.script(Fault(status=status, retry_after=7))
    with pytest.raises(ERRORS[status]) as caught:
        run(**call())
    error: Any = caught.value
    assert error.status_code == status
    if type(error) not in (theirs.Timeout, theirs.APIError):  # which take no response
        assert error.response.headers["retry-after"] == error.litellm_response_headers["retry-after"] == "7"
    assert ID in str(error)
    assert "emulator-key" not in f"{error} {error!r}"


PHRASES = [
    "This model's maximum context length is 100 tokens. However, your prompt contains at least 140 input tokens.",
    "'max_tokens' or 'max_completion_tokens' is too large: 90. This model's maximum context length is 100 tokens and "
    "your request has 140 input tokens (90 > 100 - 140).",
    "You passed 140 input tokens and requested 9 output tokens. However, the model's context length is only 100 "
    "tokens.",
    "The decoder prompt (length 140) is longer than the maximum model length of 100.",
]


@EVERY_WAY
@pytest.mark.parametrize("phrase", PHRASES)
def test_context_windows(phrase: str, run: Any, call: Call) -> None:
    body = json.dumps({"error": {"message": phrase, "type": "BadRequestError", "code": 400}}).encode()
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
    with (
        raw_server(head + b"content-length: %d\r\n\r\n%b" % (len(body), body)) as url,
        pytest.raises(theirs.ContextWindowExceededError),
    ):
        run(**call(api_base=url, model="wandb_inference/me/mine"))


REFUSED: dict[str, Any] = {
    "an image for a text model": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        theirs.BadRequestError,
        "the model reads text only",
    ),
    "max_tokens": ({"max_tokens": 10**6}, theirs.BadRequestError, "131,072"),
    "an overflow": (
        {"messages": [{"role": "user", "content": "word " * 140_000}]},
        theirs.ContextWindowExceededError,
        "maximum context length is 131072 tokens. However, your prompt contains at least 140000 input tokens",
    ),
    # With its prefix: LiteLLM would send a bare "openai/…" to OpenAI.
    "a retired id": (
        {"model": "wandb_inference/Qwen/Qwen3.6-27B"},
        theirs.NotFoundError,
        "Use wandb_inference/Qwen/Qwen3.8-27B",
    ),
    "an order that does not exist": ({"model": "wandb_inference/auto:best"}, theirs.BadRequestError, "auto:cheapest"),
    "a ceiling that is misspelt": ({"max_cst": 0.01}, theirs.BadRequestError, "Did you mean 'max_cost'"),
    "a call too dear": ({"max_cost": 1e-9}, theirs.BadRequestError, "max_cost is 0.000000001"),
    "a call beyond its budget": ({"budget": Budget("0.000001")}, PAYMENT, "of 0.000001 left"),
    "a number as text": ({"temperature": "0.5"}, theirs.BadRequestError, "temperature='0.5' is no number"),
    "a limit as text": ({"max_tokens": "10"}, theirs.BadRequestError, "max_tokens='10' is no whole number"),
    "a stop that is none": ({"stop": 5}, theirs.BadRequestError, "stop=5 is no list"),
    "fields that are none": ({"extra_body": "x"}, theirs.BadRequestError, "extra_body='x' is no object"),
    "a header without a value": ({"extra_headers": {"x": None}}, theirs.BadRequestError, "header 'x' is no ASCII"),
    "functions": ({"functions": [{"name": "f"}]}, theirs.BadRequestError, "functions is OpenAI's old form"),
    "a function_call": (
        {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]},
        theirs.BadRequestError,
        "Write tool_calls",
    ),
    "a client of another library": ({"client": object()}, theirs.BadRequestError, "client= is a object"),
    "a malformed project": ({"project": "alone"}, theirs.BadRequestError, "team/project"),
}


@EVERY_WAY
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_before_it_is_sent(name: str, run: Any, call: Call, emulator: Emulator) -> None:
    given: dict[str, Any]
    given, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        run(**call(**given))
    assert emulator.requests == ()


@EVERY_WAY
def test_no_other_providers_key_is_ever_sent(run: Any, call: Call, emulator: Emulator) -> None:
    # The fixtures set OPENAI_API_KEY and OPENAI_PROJECT_ID.
    with pytest.raises(theirs.AuthenticationError, match="No API key"):
        run(**call(api_key=None))
    assert not emulator.requests
    run(**call())
    headers = emulator.requests[-1].headers
    assert headers["authorization"] == "Bearer emulator-key"
    assert not {"openai-project", "openai-organization"} & set(headers)


def test_drop_params_drops_what_the_model_cannot_do(call: Call, emulator: Emulator) -> None:
    given = call(model="wandb_inference/meta-llama/Llama-3.3-70B-Instruct", reasoning_effort="low")
    given |= {"allowed_openai_params": ["reasoning_effort"]}
    with pytest.raises(theirs.BadRequestError, match="it does not reason"):
        whole(**given)
    with pytest.warns(UserWarning, match="dropped: reasoning"):
        whole(**given, drop_params=True)
    assert "reasoning_effort" not in emulator.requests[-1].json()


@EVERY_WAY
def test_retries_with_retry_after(run: Any, call: Call, emulator: Emulator) -> None:
    emulator.script(Fault(status=429, retry_after=0), Fault(status=503, retry_after=0))
    assert run(**call(max_retries=2)).choices[0].message.content == "You said: Hello"
    assert len(emulator.requests) == 3


@STREAMED
def test_an_error_inside_a_stream_is_raised(run: Any, call: Call, emulator: Emulator) -> None:
    emulator.script(Fault("error_event", after=3))
    with pytest.raises((theirs.InternalServerError, theirs.MidStreamFallbackError)):
        run(**call())


# The Router


def router(emulator: Emulator, **given: Any) -> Router:
    where: dict[str, Any] = {"api_base": emulator.url, "api_key": emulator.api_key}
    made = deployments(models=["gpt-oss-20b", "gpt-oss-120b"], fallback_price=2, **where)
    routed: Router = Router(**{**made, "retry_after": 0, **given})
    return routed


async def astreamed(of: Router, **given: Any) -> tuple[str, str]:
    chunks = [chunk async for chunk in await of.acompletion(**given, stream=True)]
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks[0].model


ASK: dict[str, Any] = {"model": ID, "messages": [{"role": "user", "content": "Hello"}]}


def test_the_router_retries_streams_that_were_refused(emulator: Emulator) -> None:
    emulator.script(Fault(status=500))
    text, _ = asyncio.run(astreamed(router(emulator, num_retries=1), **ASK))
    assert text == "You said: Hello"
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("status", [401, 402, 404, 422, 429, 503])
def test_the_router_falls_back_from_streams_that_were_refused(status: int, emulator: Emulator) -> None:
    emulator.script(Fault(status=status))
    text, _ = asyncio.run(astreamed(router(emulator, num_retries=0), **ASK))
    assert text == "You said: Hello"
    assert [seen.json()["model"] for seen in emulator.requests] == [ID, "openai/gpt-oss-120b"]


def test_the_router_falls_back_to_a_larger_window() -> None:
    row = {"family": "f", "status": "active", "checked": "2026-11-21", "source": "test"}
    rows = [{**row, "id": f"me/{size}", "name": f"{size}", "context_window": size} for size in (2000, 100_000)]
    catalog = Catalog.empty().with_overrides({"model": rows})
    register(catalog)
    emulator = Emulator(catalog=catalog)
    with emulator as url:
        made = deployments(catalog, fallback_price=math.inf, api_base=url, api_key=emulator.api_key)
        assert made["context_window_fallbacks"] == [{"me/2000": ["me/100000"]}]
        of = Router(**{**made, "num_retries": 0, "fallbacks": []})
        long = [{"role": "user", "content": "word " * 3000}]
        text, _ = asyncio.run(astreamed(of, model="me/2000", messages=long))
    assert text.startswith("You said: word")
    assert [seen.json()["model"] for seen in emulator.requests] == ["me/100000"]


def test_without_the_early_opening_errors_come_while_reading(
    call: Call, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm.main, "_complete_custom_providers", litellm.main._complete_custom_providers.__wrapped__)  # type: ignore[attr-defined]
    emulator.script(Fault(status=402))

    async def run() -> None:
        reading = await litellm.acompletion(**call(), stream=True)  # late: nothing was sent
        assert emulator.requests == ()
        with pytest.raises((PAYMENT, theirs.MidStreamFallbackError)):
            async for _ in reading:
                pass

    asyncio.run(run())


# Registration


def test_registering_again_changes_nothing_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"provider": "somebody", "custom_handler": CustomLLM()}
    monkeypatch.setattr(litellm, "custom_provider_map", [other])
    handler = register()
    assert register() is handler
    assert [item["provider"] for item in litellm.custom_provider_map] == ["somebody", "wandb_inference"]
    assert litellm.callbacks == []  # one alone has LiteLLM do the work of logging, each call (4 times the CPU)
    own = register(Catalog.empty())
    assert own is not handler
    assert [item["custom_handler"] for item in litellm.custom_provider_map][1:] == [own]
    assert isinstance(own, WandbInferenceLLM)


def test_litellms_own_callback_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "success_callback", ["wandb"])
    with pytest.warns(UserWarning, match="writes the API key into every trace"):
        register()


def test_what_is_not_known_any_more_is_not_remembered() -> None:
    row = {"id": "me/mine", "name": "m", "family": "f", "status": "active", "checked": "2026-11-21", "source": "test"}
    priced = Catalog.empty().with_overrides({"model": [{**row, "price": {"input": 1, "output": 2}}]})
    try:
        register(priced)
        assert litellm.get_model_info("wandb_inference/me/mine")["input_cost_per_token"] == 1e-06
        register(Catalog.empty().with_overrides({"model": [row]}))
        assert not litellm.get_model_info("wandb_inference/me/mine")["input_cost_per_token"]
    finally:
        register(Catalog.bundled())


def test_deployments_of_names_that_mean_the_same() -> None:
    made = deployments(models=["gpt-oss-20b", "openai/gpt-oss-20b", "gpt-oss-120b"], families=True)
    names = [entry["model_name"] for entry in made["model_list"]]
    assert names == [ID, "openai/gpt-oss-120b", "family/gpt-oss", "family/gpt-oss"]
    assert deployments(models=[])["model_list"] == []
    with pytest.raises(UnknownModelError, match="not served any more"):
        deployments(models=["Qwen/Qwen3.6-27B"])
    assert proxy_config({**made, "num_retries": 0})["router_settings"]["num_retries"] == 0


@pytest.mark.parametrize("card", [card for card in Catalog.bundled() if card.status == "active"], ids=lambda c: c.id)
def test_what_litellm_knows_of_a_model(card: Any) -> None:
    name = f"wandb_inference/{card.id}"
    info = litellm.get_model_info(name)
    assert info["max_input_tokens"] == card.context_window
    assert 1e-9 < (info["input_cost_per_token"] or 0) < 1e-4
    assert litellm.supports_function_calling(name) is bool(card.tools)
    assert litellm.supports_vision(name) is card.accepts("image")
    assert litellm.supports_response_schema(name) is bool(card.structured_output)
    assert litellm.supports_reasoning(name) is (card.reasoning.mode not in ("none", None))


# What is installed


@pytest.mark.parametrize(
    ("installed", "mcp", "needed"),
    [
        ("1.91.5", None, False),
        ("1.105.7", None, False),
        ("1.106.0", None, True),
        ("1.107.0rc1", None, True),
        ("1.108.3", None, True),
        ("1.106.2", "1.28.1", True),
        ("1.108.3", "2.1.1", False),
        ("1.108.4", None, False),
        ("1.110.2", "1.28.1", False),
        ("2.0", None, False),
    ],
)
def test_which_litellm_needs_mcp(
    installed: str, mcp: str | None, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shims, "version", {"litellm": installed, "mcp": mcp}.__getitem__)
    monkeypatch.setattr(shims, "find_spec", lambda _: mcp and object())
    assert shims.needs_mcp() is needed


def responses(**given: Any) -> Any:
    return litellm.responses(input=given.pop("messages"), **given)


@pytest.mark.parametrize("run", [whole, awhole, stream, astream, responses])
def test_tools_without_mcp_name_the_extra(
    run: Any, call: Call, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = (
        (litellm.main, "validate_and_fix_openai_tools"),
        (import_module("litellm.responses.main"), "_responses_try_dispatch_mcp_gateway"),
    )
    for module, name in functions:
        if not hasattr(module, name):
            pytest.skip(f"this LiteLLM has no {module.__name__}.{name}, and is none that needs mcp")
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(shims, "needs_mcp", lambda: True)
    register()
    assert run(**call("Hello")) is not None
    tools = [{"type": "function", "name": "f", "function": {"name": "f", "parameters": {"type": "object"}}}]
    sent = len(emulator.requests)
    with pytest.raises(theirs.BadRequestError, match=r"needs mcp 2 .* pip install 'litellm\[mcp\]'"):
        run(**call("Hello", tools=tools))
    assert len(emulator.requests) == sent


def test_register_says_whether_deltas_are_coalesced(call: Call, emulator: Emulator) -> None:
    deltas = {}
    for coalesce in (True, False):
        register(coalesce=coalesce)
        register()  # again, as libraries do: what was chosen stays
        emulator.script(Reply("one two three four five six seven eight"))
        deltas[coalesce] = len(list(litellm.completion(**call(), stream=True)))
    assert deltas[False] > 8
    assert deltas[True] <= deltas[False]
    assert register().coalesce is False
