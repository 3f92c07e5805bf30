"""What leaves, what comes back, and what is refused: sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
import copy
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core import exceptions as core
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, FunctionMessage, HumanMessage, RemoveMessage
from langchain_core.outputs import LLMResult
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField, RunnableConfig
from langchain_support import EVERY_WAY, MODEL, SEES, F, Make, Movie, ainvoke, invoke, stream
from pydantic import SecretStr

import wandb_inference as core_package
from wandb_inference import Catalog, Policy, Timeouts, Usage, price
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference


@EVERY_WAY
def test_the_whole_answer(run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Reply("Salut", "The user wants French."))
    answer = run(make(), "Say hello in French.")
    assert answer.text == "Salut"
    assert answer.additional_kwargs["reasoning_content"] == "The user wants French."
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
    metadata = answer.response_metadata
    assert (metadata["model_provider"], metadata["model_name"], metadata["finish_reason"]) == ("wandb", MODEL, "stop")
    usage = answer.usage_metadata
    assert usage is not None
    assert usage["output_token_details"]["reasoning"] == 5
    assert metadata["token_usage"]["prompt_tokens"] == usage["input_tokens"]
    card = Catalog.bundled().card(MODEL)
    exact = price(
        Usage(
            input_tokens=usage["input_tokens"],
            output_tokens=usage["output_tokens"],
            cached_tokens=usage["input_token_details"]["cache_read"],
        ),
        card.price,
    )
    assert exact is not None
    assert metadata["cost"] == float(exact.total)
    details = metadata["cost_details"]
    assert sum(Decimal(str(details[k])) for k in ("input", "cached_input", "output")) == exact.total


def test_the_same_metadata_whole_and_streamed(make: Make) -> None:
    whole, streamed = (run(make(), "Hello").response_metadata for run in (invoke, stream))
    assert set(whole) == set(streamed)


@EVERY_WAY
def test_options_of_the_model_and_of_the_call(run: Any, make: Make, emulator: Emulator) -> None:
    model = make(
        temperature=0.5,
        max_tokens=50,
        stop=["x"],
        seed=1,
        reasoning="low",
        model_kwargs={"top_k": 3},
        extra_body={"min_p": 0.1},
        project="team/project",
        default_headers={"X-Mine": "1"},
        default_query={"v": "2"},
    )
    run(model, "Hello", temperature=0, extra_body={"cache_salt": "s"}, reasoning_effort="high", stop=["y"])
    (seen,) = emulator.requests
    body = seen.json()
    expected = {"temperature": 0, "max_tokens": 50, "stop": ["y"], "seed": 1, "reasoning_effort": "high"}
    expected |= {"top_k": 3, "min_p": 0.1, "cache_salt": "s", "model": MODEL}
    assert {key: body[key] for key in expected} == expected
    assert (seen.headers["openai-project"], seen.headers["x-mine"]) == ("team/project", "1")


def test_nothing_unasked_leaves(make: Make, emulator: Emulator) -> None:
    make().invoke("Hello")
    assert emulator.requests[0].json() == {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


@EVERY_WAY
def test_another_model_for_one_call(run: Any, make: Make) -> None:
    answer = run(make(), "Hello", model="google/gemma-4-31B-it")
    assert answer.response_metadata["model_name"] == "google/gemma-4-31B-it"
    assert answer.response_metadata["cost_details"]["output"] > 0
    assert make()._get_ls_params(model="x")["ls_model_name"] == "x"


@EVERY_WAY
def test_tool_calls(run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Reply("", "", (ToolUse("f", {"a": "ü"}), ToolUse("g", '{"broken": '))))
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "fg"]
    answer = run(make().bind_tools(tools), "x")
    good = answer.tool_calls[0]
    assert (good["name"], good["args"]) == ("f", {"a": "ü"})
    if run in (invoke, ainvoke):  # a chunk parses what it has, so only whole messages have invalid calls
        assert len(answer.tool_calls) == 1
        (bad,) = answer.invalid_tool_calls
        assert (bad["name"], bad["args"]) == ("g", '{"broken": ')
        assert "not JSON" in str(bad["error"])


CHOICES: list[tuple[Any, Any]] = [
    (None, ...),
    (False, ...),
    ("auto", "auto"),
    ("none", "none"),
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    ("f", {"type": "function", "function": {"name": "f"}}),
    ({"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}),
    ({"type": "any"}, "required"),
    ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
]


@pytest.mark.parametrize(("choice", "sent"), CHOICES)
def test_tool_choice(choice: Any, sent: Any, make: Make, emulator: Emulator) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    make().bind_tools([tool], tool_choice=choice).invoke("x")
    assert emulator.requests[0].json().get("tool_choice", ...) == sent


def test_a_tool_choice_that_is_no_tool(make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match="'g', which is none of the tools"):
        make().bind_tools([{"type": "function", "function": {"name": "f"}}], tool_choice="g")


def test_no_tools_bind_nothing(make: Make, emulator: Emulator) -> None:
    make().bind_tools([], tool_choice="any", response_format={"type": "json_object"}).invoke("x")
    assert set(emulator.requests[0].json()) == {"model", "messages", "response_format"}


def test_tools_beside_a_format_are_strict(make: Make, emulator: Emulator) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    make().bind_tools([tool], response_format={"type": "json_object"}).invoke("x")
    assert emulator.requests[0].json()["tools"][0]["function"]["strict"] is True


def test_n(make: Make) -> None:
    result: LLMResult = make(n=2).generate([[HumanMessage("x")]])
    texts = [generation.text for generation in result.generations[0]]
    assert texts == ["You said: x", "You said: x (2)"]
    usages = [generation.message.usage_metadata for generation in result.generations[0]]  # type: ignore[union-attr]
    assert usages[0]
    assert usages[1] is None
    with pytest.raises(core_package.ConfigurationError, match="n=2 cannot be streamed"):
        list(make(n=2).stream("x"))


def test_callbacks_see_usage_once_a_call(make: Make) -> None:
    handler = UsageMetadataCallbackHandler()
    config: RunnableConfig = {"callbacks": [handler]}
    make().invoke("x", config)
    list(make().stream("x", config))
    assert handler.usage_metadata[MODEL]["input_tokens"] == 2 * make().invoke("x").usage_metadata["input_tokens"]  # type: ignore[index]


# Errors

ERRORS: dict[str, tuple[Any, dict[str, Any], type[Exception], type[Exception], bool]] = {
    # name: (fault, model fields, our class, langchain-core's class, retryable)
    "401": (Fault(status=401), {}, core_package.AuthenticationError, core.ModelAuthenticationError, False),
    "402": (Fault(status=402), {}, core_package.QuotaExceededError, core.ModelPermissionDeniedError, False),
    "403": (Fault(status=403), {}, core_package.AccessDeniedError, core.ModelPermissionDeniedError, False),
    "404": (Fault(status=404), {}, core_package.NotFoundError, core.ModelNotFoundError, False),
    "422": (Fault(status=422), {}, core_package.BadRequestError, core.ModelInvalidRequestError, False),
    "429": (Fault(status=429), {}, core_package.RateLimitedError, core.ModelRateLimitError, True),
    "500": (Fault(status=500), {}, core_package.ServerError, core.ModelAPIError, True),
    "503": (Fault(status=503), {}, core_package.OverloadedError, core.ModelAPIError, True),
    "malformed": (Fault("malformed"), {}, core_package.MalformedResponseError, core.ModelAPIError, False),
    "timeout": (Fault("stall", after=0), {"timeout": 0.2}, core_package.TimedOutError, core.ModelTimeoutError, True),
    "dead port": (
        None,
        {"base_url": "http://127.0.0.1:9/v1"},
        core_package.ConnectionFailedError,
        core.ModelConnectionError,
        True,
    ),
    "retired": (None, {"model": "Qwen/Qwen3.6-27B"}, core_package.UnknownModelError, core.ModelNotFoundError, False),
    "refused": (None, {"max_tokens": 10**6}, core_package.RequestReviewError, core.ModelInvalidRequestError, False),
}


@EVERY_WAY
@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_both_ours_and_langchains(name: str, run: Any, make: Make, emulator: Emulator) -> None:
    fault, fields, ours, theirs, retryable = ERRORS[name]
    emulator.script(*([fault] if fault else []))
    with pytest.raises(ours) as caught:
        run(make(**fields), "x")
    error: Any = caught.value
    assert isinstance(error, theirs)
    assert isinstance(error, core.ModelError)
    assert error.is_retryable is retryable
    if isinstance(error, core_package.StatusError):
        assert error.response is not None
        assert error.response.json()["error"]["message"]  # read already, also of streams
        assert error.response.status_code == error.status_code


@EVERY_WAY
@pytest.mark.parametrize(
    ("prompt", "fields"),
    [
        ("word " * 140_000, {"review": "off"}),  # the service says so
        ("word " * 140_000, {}),  # the catalog says so
    ],
)
def test_an_overflow_is_langchains_overflow(prompt: str, fields: dict[str, Any], run: Any, make: Make) -> None:
    with pytest.raises(core.ContextOverflowError) as caught:
        run(make(**fields), prompt)
    error: Any = caught.value
    if isinstance(error, core_package.ContextLengthError):
        assert error.limit == 131_072
        assert error.prompt_tokens is not None
        assert error.prompt_tokens > 140_000
    else:
        assert isinstance(error, core_package.RequestReviewError)


def test_retries_are_ours(make: Make, emulator: Emulator) -> None:
    emulator.script(Fault(status=429, retry_after=0), Fault(status=429, retry_after=0))
    assert make(max_retries=2).invoke("x").text == "You said: x"
    assert len(emulator.requests) == 3


# Construction

BAD_FIELDS = [
    ({"temprature": 1}, "There is no parameter 'temprature'. Did you mean 'temperature'?"),
    ({"frobnicate": 1}, "extra_body"),
    ({"project": "alone"}, "'team/project'"),
    ({"base_url": "ftp://x"}, "http(s)://host"),
    ({"base_url": ""}, "base_url is empty. An emulator has its URL once it is started."),
    ({"api_key": None}, "No API key"),
]


@pytest.mark.parametrize(("fields", "words"), BAD_FIELDS)
def test_bad_fields(fields: dict[str, Any], words: str, make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError) as caught:
        make(**fields)
    assert words in str(caught.value)
    assert isinstance(caught.value, core.ModelError)


def test_a_misspelt_option_of_a_call(make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match="Did you mean 'max_tokens'"):
        make().invoke("x", max_token=5)


def test_other_spellings(make: Make) -> None:
    model = ChatWandbInference(
        model_name=MODEL,
        wandb_api_key="k",
        request_timeout=3,
        stop_sequences=["x"],
        max_completion_tokens=5,
        reasoning_effort="low",
    )
    assert (model.model, model.timeout, model.stop, model.max_tokens, model.reasoning) == (MODEL, 3, ["x"], 5, "low")
    assert make(timeout=None).timeout is None


def test_openai_variables_are_never_read(make: Make, emulator: Emulator) -> None:
    # The fixtures set OPENAI_API_KEY, OPENAI_PROJECT_ID and OPENAI_BASE_URL.
    make().invoke("x")
    headers = emulator.requests[0].headers
    assert headers["authorization"] == "Bearer emulator-key"
    assert not {"openai-project", "openai-organization"} & set(headers)


def test_no_key_is_shown(make: Make) -> None:
    model = make()
    shown = f"{model!r} {model} {dumpd(model)} {model._identifying_params} {model.model_dump()}"
    assert "emulator-key" not in shown


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
@pytest.mark.parametrize("namespaces", [{}, {"valid_namespaces": ["wandb_inference"]}])
def test_round_trip(namespaces: dict[str, Any], make: Make) -> None:
    model = make(temperature=0.3, reasoning="low", project="a/b")
    secrets = {"WANDB_API_KEY": "emulator-key"}
    again = load(dumpd(model), allowed_objects=[ChatWandbInference], secrets_map=secrets, **namespaces)
    with pytest.raises(ValueError, match="is not allowed"):
        load(dumpd(model), allowed_objects="core", secrets_map=secrets, **namespaces)
    assert isinstance(again, ChatWandbInference)
    assert again._identifying_params == model._identifying_params
    assert again.invoke("x").text == "You said: x"


@pytest.mark.parametrize("timeout", [None, 5, (1, 2), httpx.Timeout(3), Timeouts(stall=4)])
def test_a_round_trip_of_timeouts(timeout: Any, make: Make) -> None:
    model = make(timeout=timeout)
    secrets = {"WANDB_API_KEY": "emulator-key"}
    again = load(dumpd(model), allowed_objects=[ChatWandbInference], secrets_map=secrets)
    assert again.timeout == model.timeout


@pytest.mark.parametrize("terms", [{"budget": 5}, {"policy": Policy(max_cost=1)}])
def test_no_ceiling_is_lost_on_a_round_trip(terms: dict[str, Any], make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match=r"budget|policy"):
        load(dumpd(make(**terms)), allowed_objects=[ChatWandbInference], secrets_map={"WANDB_API_KEY": "emulator-key"})


def test_clients_of_your_own(emulator: Emulator, make: Make) -> None:
    seen: list[str] = []

    async def anote(request: httpx.Request) -> None:
        seen.append(f"async {request.url.path}")

    with httpx.Client(event_hooks={"request": [lambda request: seen.append(request.url.path)]}) as http:
        make(http_client=http).invoke("x")

    async def run() -> None:
        async with httpx.AsyncClient(event_hooks={"request": [anote]}) as async_http:
            await make(http_async_client=async_http).ainvoke("x")

    asyncio.run(run())
    assert seen == ["/v1/chat/completions", "async /v1/chat/completions"]


def test_profile(make: Make) -> None:
    profile = make(model=SEES).profile
    assert profile is not None
    assert (profile["max_input_tokens"], profile["image_inputs"], profile["tool_calling"]) == (262_144, True, True)
    assert "max_output_tokens" not in profile  # not known
    assert make(model="me/mine").profile is None
    assert make(profile={"max_input_tokens": 5}).profile == {"max_input_tokens": 5}


def test_token_counts_without_a_download(make: Make) -> None:
    model = make()
    assert 200 < model.get_num_tokens("word " * 200) < 400
    messages = [("human", "word " * 200)]
    plain = model.get_num_tokens_from_messages(model._convert_input(messages).to_messages())
    with_tools = model.get_num_tokens_from_messages(model._convert_input(messages).to_messages(), tools=F)
    assert 200 < plain < with_tools


def test_no_key_is_shown_by_an_error_of_construction() -> None:
    for fields in ({"api_key": "emulator-key"}, {"model": "m", "api_key": ["emulator-key"]}):
        with pytest.raises(ValueError, match=r"is missing|does not fit") as caught:
            ChatWandbInference(**fields)
        assert "emulator-key" not in f"{caught.value} {caught.value!r}"


def test_what_gateways_take_as_keys_is_shown_nowhere(make: Make) -> None:
    model = make(default_query={"q": "hidden"}, default_headers={"x": "hidden"})
    assert "hidden" not in f"{model!r} {dumpd(model)} {model.model_dump()} {model._get_llm_string()}"


WRONG_TYPES = [
    ({"temperature": "hot"}, "temperature='hot' does not fit"),
    ({"max_tokens": "many"}, "max_tokens='many'"),
]


@EVERY_WAY
@pytest.mark.parametrize(("given", "words"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_in_a_call(given: Any, words: str, run: Any, make: Make, emulator: Emulator) -> None:
    with pytest.raises(core_package.ConfigurationError, match=words):
        run(make(), "x", **given)
    assert emulator.requests == ()


def test_values_of_a_call_are_read_as_those_of_the_model_are(make: Make, emulator: Emulator) -> None:
    anything: Any = {"max_tokens": "100", "stop": "END"}
    make().invoke("x", **anything)
    body = emulator.requests[0].json()
    assert (body["max_tokens"], body["stop"]) == (100, ["END"])
    params = make()._get_ls_params(stop="END", model_name="other", max_completion_tokens=7)  # type: ignore[arg-type]
    assert (params["ls_stop"], params["ls_model_name"], params["ls_max_tokens"]) == (["END"], "other", 7)


def test_tools_of_other_providers_servers(make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match="'web_search_preview' cannot be sent"):
        make().bind_tools([{"type": "web_search_preview"}])


def test_reasoning_that_goes_back_is_counted(make: Make) -> None:
    thinks = AIMessage("", additional_kwargs={"reasoning_content": "word " * 500}, tool_calls=[])
    count = make().get_num_tokens_from_messages
    assert count([HumanMessage("x"), thinks]) > count([HumanMessage("x"), AIMessage("")]) + 400
    assert count([HumanMessage("x"), thinks, HumanMessage("y")]) < 50  # chat templates drop it by then
    assert make(replay_reasoning="none").get_num_tokens_from_messages([HumanMessage("x"), thinks]) < 50


def test_token_counts_never_raise(make: Make) -> None:
    def unschematic(connection: httpx.Client) -> str:
        """Signatures can fail in any way."""
        return str(connection)

    odd: list[Any] = [
        HumanMessage([{"type": "tool_result", "tool_use_id": "x", "content": [5]}]),
        HumanMessage([{"type": "hologram", "text": "word " * 50}]),
        AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {"a": object()}}]),
        FunctionMessage(content="word " * 50, name="f"),
        RemoveMessage(id="x"),
        HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}]),
    ]
    assert (
        make().get_num_tokens_from_messages(odd, tools=[object(), Movie, F[0], unschematic]) > 1100
    )  # a picture alone is 1000
    assert make(custom_get_token_ids=lambda text: list(text.encode())).get_num_tokens("abc") == 3
    assert make(custom_get_token_ids=lambda text: [1]).get_num_tokens_from_messages(odd, tools=F) == 1


@EVERY_WAY
def test_token_counts_learn_from_what_the_service_counts(run: Any, make: Make) -> None:
    model = make(model="ibm-granite/granite-4.2-8b")
    prompts: list[list[Any]] = [[HumanMessage("word " * size)] for size in (1, 40, 400)]
    counted = [run(model, prompt).usage_metadata["input_tokens"] for prompt in prompts * 5][:3]
    for prompt, exact in zip(prompts, counted, strict=True):
        assert abs(model.get_num_tokens_from_messages(prompt) - exact) <= max(3, exact * 0.1)


def test_a_profile_follows_its_model(make: Make) -> None:
    own: Any = {"max_input_tokens": 5}
    fields: Any = make().configurable_fields(model=ConfigurableField(id="m"))
    configured, _ = fields.prepare({"configurable": {"m": SEES}})
    models: list[Any] = [
        make(),
        make().model_copy(update={"model": SEES}),
        make().bind(model=SEES),
        make().bind_tools(F, model=SEES),
        configured,
        make(profile=own).bind(model=SEES),
    ]
    limits = [model.profile["max_input_tokens"] for model in models]
    assert limits == [131_072, 262_144, 262_144, 262_144, 262_144, 5]
    unknown: Any = make(model=SEES).bind(model="me/mine")
    assert unknown.profile is None


def test_bound_to_another_model(make: Make, emulator: Emulator) -> None:
    bound = make().bind_tools(F).bind(model=SEES, temperature=0.5)
    assert bound.invoke("x").response_metadata["model_name"] == SEES
    assert make().bind(model_name=SEES).invoke("x").response_metadata["model_name"] == SEES
    assert emulator.requests[0].json()["temperature"] == 0.5


def test_the_rate_limiter_and_the_cache_are_langchains(make: Make, emulator: Emulator) -> None:
    class Counting(BaseRateLimiter):
        calls = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.calls += blocking
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire(blocking=blocking)

    limiter = Counting()
    model = make(rate_limiter=limiter, cache=InMemoryCache())
    first, second = model.invoke("x"), model.invoke("x")
    assert first.text == second.text
    model.invoke("x", model=SEES)
    list(model.stream("x"))
    assert len(emulator.requests) == limiter.calls == 3


def test_cache_keys_differ_by_what_matters(make: Make) -> None:
    assert (
        len({make(**f)._get_llm_string() for f in ({}, {"model": SEES}, {"temperature": 1}, {"reasoning": "low"})}) == 4
    )


def test_copies_share_the_connection(make: Make) -> None:
    model = make()
    assert model.model_copy(deep=True).invoke("x").text == "You said: x"
    assert model.bind(temperature=0).invoke("x").text == "You said: x"


def test_unknown_ids_have_no_findings_and_no_price() -> None:
    row = {"id": "tiny", "name": "t", "family": "t", "status": "active", "checked": "2026-11-21", "source": "t"}
    served = Catalog.empty().with_overrides({"model": [row]})
    with Emulator(catalog=served) as url:
        answer = ChatWandbInference(model="tiny", base_url=url, api_key="emulator-key").invoke("x")
    assert answer.text == "You said: x"
    assert "cost" not in answer.response_metadata


# What a review found, each as a case that failed before


def test_a_key_stays_with_the_host_it_was_found_for(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc-with-key"
    netrc.write_text("machine api.wandb.ai login user password from-netrc")
    monkeypatch.setenv("NETRC", str(netrc))
    model = ChatWandbInference(model=MODEL)
    assert model.wandb_api_key.get_secret_value() == "from-netrc"
    elsewhere = model.configurable_fields(base_url=ConfigurableField(id="base_url"))
    with pytest.raises(core_package.ConfigurationError, match="named beside it"):
        elsewhere.with_config(configurable={"base_url": emulator.url}).invoke("x")
    with pytest.raises(core_package.ConfigurationError, match="named beside it"):
        model.model_copy(update={"base_url": emulator.url}).invoke("x")
    assert emulator.requests == ()


def test_changes_after_construction_hold(make: Make, emulator: Emulator) -> None:
    model = make(project="a/b")
    model.project = "c/d"
    model.invoke("x")
    model.model_copy(update={"project": "e/f"}).invoke("x")
    assert [seen.headers["openai-project"] for seen in emulator.requests] == ["c/d", "e/f"]
    unreviewed = make(max_tokens=10**6).model_copy(update={"review": "off"})
    with pytest.raises(core_package.BadRequestError):
        unreviewed.invoke("x")
    wrong = make().model_copy(update={"api_key": SecretStr("wrong")})
    with pytest.raises(core_package.AuthenticationError):
        wrong.invoke("x")


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])  # noqa: S301
def test_errors_of_both_kinds_can_be_pickled(copied: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Fault(status=429, retry_after=3))
    with pytest.raises(core_package.RateLimitedError) as caught:
        make().invoke("x")
    again: Any = copied(caught.value)
    assert isinstance(again, core.ModelRateLimitError)
    assert isinstance(again, core_package.RateLimitedError)
    assert (again.retry_after, str(again)) == (3, str(caught.value))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m: m.with_structured_output(Movie, include_row=True), "Did you mean 'include_raw'"),
        (lambda m: m.with_structured_output(Movie, strikt=True), "Did you mean 'strict'"),
        (lambda m: m.bind_tools(F, tool_choise="f"), "Did you mean 'tool_choice'"),
        (lambda m: m.invoke("x", stream_usge=True), "Did you mean 'stream_usage'"),
    ],
)
def test_a_misspelt_option_is_noticed_at_once(use: Any, words: str, make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match=words):
        use(make())


def test_models_can_be_pickled(make: Make) -> None:
    model = make(temperature=0.5)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert again.invoke("x").text == model.invoke("x").text == "You said: x"
    assert again.model_dump() == model.model_dump()


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.with_structured_output(Movie, method="jsonschema"),
        lambda m: m.bind_tools(F, tool_choice="nope"),
        lambda m: m.invoke([HumanMessage([{"type": "hologram"}])]),
        lambda m: m.invoke("x", max_token=5),
    ],
)
def test_what_the_door_itself_refuses_is_langchains_too(use: Any, make: Make) -> None:
    with pytest.raises(core.ModelInvalidRequestError):
        use(make())


def test_only_a_certain_overflow_is_an_overflow(make: Make) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    doubtful = {"type": "text", "text": "abcdefgh" * 60_000}
    with pytest.raises(core_package.RequestReviewError) as caught:
        make().invoke([HumanMessage([doubtful, image])])
    assert not isinstance(caught.value, core.ContextOverflowError)
    with pytest.raises(core_package.RequestReviewError) as caught:
        make(max_tokens=131_072).invoke("two words")
    assert not isinstance(caught.value, core.ContextOverflowError)


@pytest.mark.parametrize("where", ["model_kwargs", "extra_body"])
def test_options_among_the_extra_fields_are_options(where: str, make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match="n=2 cannot be streamed"):
        list(make(**{where: {"n": 2}}).stream("x"))


def test_the_model_of_a_call_under_either_name(make: Make, emulator: Emulator) -> None:
    make().invoke("x", model_name=SEES)
    assert emulator.requests[0].json()["model"] == SEES


def test_closing_a_copy_leaves_the_model_usable(make: Make) -> None:
    model = make()
    model.model_copy(update={"temperature": 0.5}).close()
    model.close()
    assert model.invoke("x").text == "You said: x"


def test_deep_copies_share_clients_of_your_own(make: Make) -> None:
    with httpx.Client() as http:
        model = make(http_client=http)
        for again in (model.model_copy(deep=True), copy.deepcopy(model)):
            assert again.http_client is http
            assert again.invoke("x").text == "You said: x"


PRECEDENCE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # (of the model, of the call, what leaves)
    ({"model_kwargs": {"temperature": 0.5}}, {"temperature": 0.9}, {"temperature": 0.9}),
    ({"extra_body": {"max_tokens": 5}}, {"max_tokens": 50}, {"max_tokens": 50}),
    ({"max_tokens": 5}, {"extra_body": {"max_tokens": 50}}, {"max_tokens": 50}),
    ({"temperature": 0.1, "model_kwargs": {"temperature": 0.5}}, {}, {"temperature": 0.5}),
    ({"model_kwargs": {"extra_body": {"cache_salt": "x"}}}, {}, {"cache_salt": "x"}),
    ({"extra_body": {"top_k": 1}}, {"extra_body": {"min_p": 0.2}}, {"top_k": 1, "min_p": 0.2}),
]


@pytest.mark.parametrize(("of_model", "of_call", "sent"), PRECEDENCE)
def test_the_call_wins(of_model: Any, of_call: Any, sent: dict[str, Any], make: Make, emulator: Emulator) -> None:
    make(**of_model).invoke("x", **of_call)
    body = emulator.requests[0].json()
    assert {key: body.get(key) for key in sent} == sent


def test_a_key_assigned_as_a_string_is_shown_by_nothing(make: Make) -> None:
    model = make()
    model.api_key = "emulator-key"
    assert model.invoke("x").text == "You said: x"
    assert "emulator-key" not in f"{model!r} {model.model_dump()} {model.model_dump_json()}"


def test_the_policy_of_replay_reaches_the_wire(make: Make, emulator: Emulator) -> None:
    history = [HumanMessage("h"), AIMessage("a", additional_kwargs={"reasoning_content": "r"}), HumanMessage("h")]
    for policy in ("all", "since_last_human", "none"):
        make(replay_reasoning=policy).invoke(history)
    assert ["reasoning" in seen.json()["messages"][1] for seen in emulator.requests] == [True, False, False]
