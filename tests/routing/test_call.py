"""One call over several models, against the emulator: who is asked after whom, and what is remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import raw_server

from wandb_inference import (
    AsyncClient,
    Budget,
    CallRecord,
    Catalog,
    ChatOptions,
    ChatRequest,
    Client,
    Completion,
    ConfigurationError,
    Entry,
    InferenceError,
    ModelCard,
    NoCandidateError,
    Policy,
    RequestReviewError,
    ReviewWarning,
    StatusError,
    collect,
    price,
)
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.routing import Service

SMALL, LARGE, GLM, SEES = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "zai-org/GLM-5.2", "Qwen/Qwen3.8-27B"
GEMMA = "google/gemma-4-26B-A4B-it"
BOTH = Policy(models=[SMALL, GLM])
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def ask(model: str = "auto", content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**options))


class Way:
    """One of the four ways to make a call."""

    def __init__(self, name: str, emulator: Emulator) -> None:
        self.name, self.emulator = name, emulator
        self.records: list[CallRecord] = []
        self.made = {"base_url": emulator.url, "api_key": emulator.api_key, "max_retries": 0}

    def __call__(self, request: ChatRequest, policy: Policy | None = None, **client: Any) -> Completion:
        given = {**self.made, "policy": policy, "on_record": self.records.append, **client}
        if self.name.startswith("a"):
            return asyncio.run(self._later(request, given))
        with Client(**given) as made:
            return collect(made.stream(request)) if self.name == "stream" else made.chat(request)

    async def _later(self, request: ChatRequest, given: dict[str, Any]) -> Completion:
        async with AsyncClient(**given) as made:
            if self.name == "achat":
                return await made.chat(request)
            return collect([event async for event in await made.stream(request)])

    @property
    def asked(self) -> list[str]:
        return [seen.json()["model"] for seen in self.emulator.requests]


@pytest.fixture(params=["chat", "achat", "stream", "astream"])
def way(request: pytest.FixtureRequest, emulator: Emulator) -> Way:
    return Way(request.param, emulator)


@pytest.fixture(params=["chat", "achat"])
def whole(request: pytest.FixtureRequest, emulator: Emulator) -> Way:
    return Way(request.param, emulator)


@pytest.fixture(params=["stream", "astream"])
def streamed(request: pytest.FixtureRequest, emulator: Emulator) -> Way:
    return Way(request.param, emulator)


# Failures

OVERFLOW = "This model's maximum context length is 131072 tokens. However, your prompt contains 140000 input tokens."
FAILURES: dict[str, tuple[Fault, bool]] = {
    # name: (fault, whether another model is asked)
    "a bad request": (Fault(status=400), False),
    "a wrong key": (Fault(status=401), False),
    "no credits": (Fault(status=402), False),
    "no access": (Fault(status=403), False),
    "a parameter": (Fault(status=422), False),
    "not served": (Fault(status=404), True),
    "busy": (Fault(status=429), True),
    "broken": (Fault(status=500), True),
    "overloaded": (Fault(status=503), True),
    "no connection": (Fault("cut", after=0), True),
    "too long for this one": (Fault(status=400, message=OVERFLOW), True),
}


@pytest.mark.parametrize("name", FAILURES)
def test_after_a_failure(name: str, way: Way) -> None:
    fault, goes_on = FAILURES[name]
    if name == "no connection" and "stream" in way.name:
        pytest.skip("a stream that was opened is handed out: test_never_after_the_first_token")
    way.emulator.script(fault)
    if goes_on:
        answer = way(ask(), BOTH)
        assert answer.text == "You said: Hello"
        assert way.asked == [SMALL, GLM]
        assert answer.route is not None
        first, second = answer.route["attempts"]
        assert (first["model"], second["model"], second["outcome"]) == (SMALL, GLM, "ok")
        assert first["outcome"].endswith("Error")
        assert answer.route["plan"]["order"] == [SMALL, GLM]
    else:
        with pytest.raises(StatusError) as caught:
            way(ask(), BOTH)
        assert way.asked == [SMALL]
        assert caught.value.route is not None
        assert [attempt["model"] for attempt in caught.value.route["attempts"]] == [SMALL]


def test_the_last_error_is_raised_when_nobody_is_left(way: Way) -> None:
    way.emulator.script(Fault(status=503), Fault(status=500))
    with pytest.raises(InferenceError, match=r"GLM-5\.2.*HTTP 500") as caught:
        way(ask(), BOTH)
    assert caught.value.route is not None
    assert len(caught.value.route["attempts"]) == 2


def test_never_after_the_first_token(streamed: Way) -> None:
    streamed.emulator.script(Fault("cut", after=3))
    with pytest.raises(InferenceError) as caught:
        streamed(ask(), BOTH)
    assert streamed.asked == [SMALL]
    assert caught.value.partial is not None
    assert caught.value.route is not None
    (record,) = streamed.records
    assert [attempt.outcome for attempt in record.attempts] == ["StreamInterruptedError"]


def test_retries_come_before_the_next_model(way: Way) -> None:
    way.emulator.script(Fault(status=503, retry_after=0), Fault(status=503, retry_after=0))
    entries = [Entry(SMALL, max_retries=1), Entry(GLM, {"temperature": 0.5}, {"x-mine": "1"})]
    answer = way(ask(), Policy(models=entries))
    assert way.asked == [SMALL, SMALL, GLM]
    assert way.emulator.requests[-1].json()["temperature"] == 0.5
    assert way.emulator.requests[-1].headers["x-mine"] == "1"
    assert answer.route is not None
    assert len(answer.route["attempts"]) == 2


def test_the_next_candidate_fits_this_prompt(way: Way) -> None:
    # The service's count is what the catalog could not know: the others of that window are passed over, too.
    way.emulator.script(Fault(status=400, message=OVERFLOW))
    way(ask(), Policy(models=[SMALL, LARGE, GLM]))
    assert way.asked == [SMALL, GLM]


def test_a_picture_is_never_sent_to_a_model_that_cannot_see(way: Way) -> None:
    way.emulator.script(Fault(status=503))
    way(ask(content=[IMAGE]), Policy(models=[SMALL, SEES, GLM, "google/gemma-4-31B-it"]))
    assert way.asked == [SEES, "google/gemma-4-31B-it"]


def test_a_retired_id_follows_its_replacement_when_told(way: Way) -> None:
    with pytest.raises(InferenceError, match=r"Use Qwen/Qwen3\.8-27B instead"):
        way(ask("Qwen/Qwen3.6-27B"))
    way(ask("Qwen/Qwen3.6-27B"), Policy(on_retired="redirect"))
    assert way.asked == [SEES]


@pytest.mark.parametrize("second", [503, 400])
def test_an_answer_that_was_paid_for_is_not_lost_when_the_next_model_fails(second: int, whole: Way) -> None:
    whole.emulator.script(Reply("", ""), Fault(status=second))
    answer = whole(ask(), replace(BOTH, escalate=frozenset({"empty"})))
    assert answer.model == SMALL
    assert answer.route is not None
    assert len(answer.route["attempts"]) == 2


def test_a_model_that_is_named_goes_first_wherever_it_is_listed(way: Way) -> None:
    way(ask(GLM), BOTH)
    assert way.asked == [GLM]


def test_the_same_model_with_other_settings_is_another_candidate(way: Way) -> None:
    way.emulator.script(Fault(status=503))
    way(ask(), Policy(models=[Entry(SMALL), Entry(SMALL, {"temperature": 0.5})]))
    assert [seen.json().get("temperature") for seen in way.emulator.requests] == [None, 0.5]


def test_an_unknown_window_may_be_large_enough(way: Way) -> None:
    way.emulator.script(Fault(status=400, message=OVERFLOW))
    with pytest.raises(StatusError, match="mine"):
        way(ask(), Policy(models=[SMALL, "me/mine"]))
    assert way.asked == [SMALL, "me/mine"]


def test_a_deprecated_model_that_is_named_is_asked(way: Way) -> None:
    catalog = Catalog.bundled().with_overrides({"model": [{"id": SMALL, "status": "deprecated"}]})
    with pytest.warns(ReviewWarning, match="retired soon"):
        way(ask(SMALL), budget=Budget(1), catalog=catalog)
    assert way.asked == [SMALL]
    way(ask("auto:cheapest"), catalog=catalog)
    assert way.asked[1] != SMALL


def test_keys_of_an_entry_are_shown_nowhere(way: Way) -> None:
    entry = {"model": SMALL, "headers": {"authorization": "Bearer own-secret-0123456789"}}
    with pytest.raises(ConfigurationError) as caught:
        Policy(models=[{**entry, "retries": 1}])
    assert "own-secret" not in str(caught.value)
    body = b'{"error": {"message": "Bearer own-secret-0123456789 is wrong", "code": 401}}'
    head = b"HTTP/1.1 401 X\r\ncontent-type: application/json\r\nconnection: close\r\n"
    with (
        raw_server(head + b"content-length: %d\r\n\r\n%b" % (len(body), body)) as url,
        pytest.raises(StatusError) as refused,
    ):
        way(ask(), Policy(models=[entry]), base_url=url)
    assert "own-secret" not in f"{refused.value} {refused.value.response} {way.records}"


def test_an_answer_that_is_compressed_wrongly_is_the_services_fault(way: Way) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["model"] == SMALL:
            return httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"rubbish")
        return httpx.Response(503)

    transport = httpx.MockTransport(answer)
    http = httpx.AsyncClient(transport=transport) if way.name.startswith("a") else httpx.Client(transport=transport)
    with pytest.raises(InferenceError) as caught:
        way(ask(), BOTH, http_client=http)
    assert caught.value.route is not None
    outcomes = [attempt["outcome"] for attempt in caught.value.route["attempts"]]
    assert outcomes[0] == "MalformedResponseError"
    assert ("stream" in way.name) or outcomes[1:] == ["OverloadedError"]


def test_what_was_never_sent_costs_nothing(way: Way) -> None:
    budget = Budget(1)
    client = Client(base_url=way.emulator.url, api_key="k", budget=budget)
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.chat(ask(SMALL))
    assert [budget.spent, budget.reserved] == [0, 0]


def test_a_record_that_cannot_be_kept_loses_no_answer(way: Way) -> None:
    def broken(_: CallRecord) -> None:
        raise OSError("disk full")

    with pytest.warns(RuntimeWarning, match="disk full"):
        assert way(ask(SMALL), on_record=broken).text == "You said: Hello"


def test_a_stream_that_its_reader_closes_is_recorded(emulator: Emulator) -> None:
    records: list[CallRecord] = []
    emulator.script(Fault("stall"))
    with Client(base_url=emulator.url, api_key=emulator.api_key, on_record=records.append) as client:
        stream = client.stream(ask(SMALL))
        next(stream)
        stream.close()
    assert [attempt.outcome for record in records for attempt in record.attempts] == ["closed"]


@pytest.mark.parametrize(
    "bad",
    [
        {"content": "Hello", "response_format": "json"},
        {"content": "Hello", "tools": 5},
        {"content": "Hello", "max_tokens": "5"},
        {"content": "Hello", "n": "2"},
    ],
)
@pytest.mark.parametrize("model", ["auto", SMALL])
def test_calls_that_are_none(bad: dict[str, Any], model: str, way: Way) -> None:
    with pytest.raises((RequestReviewError, NoCandidateError)):
        way(ask(model, **bad), budget=Budget(1))
    assert way.asked == []


def test_a_budget_moves_on_to_a_cheaper_model(way: Way) -> None:
    card = Catalog.bundled().card(SMALL)
    assert card.price
    little = Budget(Decimal("0.0004"))
    answer = way(ask(max_tokens=1000), Policy(models=[GLM, SMALL]), budget=little)
    assert way.asked == [SMALL]
    assert answer.usage
    cost = price(answer.usage, card.price)
    assert cost
    assert little.spent == cost.total


# Answers that are not enough

FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}}}
ANSWERS: dict[str, tuple[Reply, dict[str, Any], str]] = {
    "length": (Reply("one two three four five six seven eight"), {"max_tokens": 4}, "length"),
    "empty": (Reply("", "thought about it"), {}, "empty"),
    "refusal": (Reply("No.", finish_reason="content_filter"), {}, "refusal"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_escalation(name: str, whole: Way) -> None:
    reply, options, why = ANSWERS[name]
    policy = replace(BOTH, escalate=frozenset({why}))  # type: ignore[arg-type]
    whole.emulator.script(reply, Reply("better", ""))
    answer = whole(ask(**options), policy)
    assert whole.asked == [SMALL, GLM]
    assert answer.text == "better"
    assert answer.route is not None
    assert [attempt["outcome"] for attempt in answer.route["attempts"]] == [why, "ok"]
    costs = [Decimal(attempt["cost_usd"]) for attempt in answer.route["attempts"]]
    assert Decimal(answer.route["cost_usd"]) == sum(costs)  # what was rejected is paid for, too
    whole.emulator.reset()
    whole.emulator.script(reply)
    whole(ask(**options), BOTH)  # not asked for: taken as it is
    assert whole.asked == [SMALL]


def test_the_best_there_is_comes_back_when_nobody_does_better(whole: Way) -> None:
    policy = replace(BOTH, escalate=frozenset({"refusal"}))
    whole.emulator.script(*[Reply("No.", finish_reason="content_filter")] * 2)
    answer = whole(ask(), policy)
    assert answer.text == "No."
    assert answer.route is not None
    assert [attempt["outcome"] for attempt in answer.route["attempts"]] == ["refusal", "refusal"]


@pytest.mark.parametrize(
    ("text", "lacks"),
    [('{"a": 1}', None), ('{"b": 1}', "schema"), ("[1]", "schema"), ("no JSON", "schema")],
)
def test_answers_in_the_form_of_a_schema(text: str, lacks: str | None) -> None:
    from wandb_inference.chat import Choice  # noqa: PLC0415
    from wandb_inference.routing import shortcoming  # noqa: PLC0415

    answer = Completion(choices=(Choice(text=text, finish_reason="stop"),))
    assert shortcoming(answer, ask(response_format=FORMAT)) == lacks


# Health


def test_a_model_that_asked_for_a_pause_gets_it_from_every_client(way: Way) -> None:
    way.emulator.script(Fault(status=429, retry_after=30))
    way(ask(), BOTH)
    way(ask(), BOTH)  # another client of the same process
    assert way.asked == [SMALL, GLM, GLM]
    reasons = Client(**way.made).explain(ask(), policy=BOTH).to_dict()["candidates"][0]["rejected"]  # type: ignore[arg-type]
    assert [reason["code"] for reason in reasons] == ["cooldown"]


def test_a_named_model_is_asked_all_the_same(way: Way) -> None:
    way.emulator.script(Fault(status=429, retry_after=30))
    way(ask(), BOTH)
    way(ask(SMALL))
    assert way.asked == [SMALL, GLM, SMALL]


# Conversations


def test_a_conversation_keeps_its_model_and_a_picture_only_borrows_another(way: Way) -> None:
    turns = [{"role": "user", "content": "Hello"}]
    policy = Policy(models=[GEMMA, LARGE], order="fastest")  # the slower one is the cheaper

    def say(content: Any) -> None:
        if content is not None:
            turns.append({"role": "user", "content": content})
        way(ChatRequest("auto", turns), policy)

    way.emulator.script(Fault(status=503))  # so that the second-best gets the conversation
    say(None)
    assert way.asked == [GEMMA, LARGE]
    say("And then?")
    say([IMAGE])
    turns.pop()  # the picture is gone from the history
    say("Where were we?")
    assert way.asked[1:] == [LARGE, LARGE, GEMMA, LARGE]


# Costs

TEXTS = st.one_of(
    st.text(min_size=1, max_size=300),
    st.text(alphabet="🙂日本語ü\u0301\n\t{}\"'\\0123456789", min_size=1, max_size=300),
    st.text(alphabet=st.characters(min_codepoint=0x10000, max_codepoint=0x10FFFF), min_size=1, max_size=80),
)
MESSAGES = st.lists(
    st.one_of(
        TEXTS.map(lambda t: {"role": "user", "content": t}),
        TEXTS.map(lambda t: {"role": "assistant", "content": t, "reasoning": t}),
        TEXTS.map(lambda t: {"role": "user", "content": [{"type": "text", "text": t}]}),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=MESSAGES,
    asked=st.fixed_dictionaries({"max_tokens": st.integers(1, 400), "n": st.integers(1, 3)}),
    tools=st.booleans(),
    model=st.sampled_from([SMALL, SEES]),
    about=TEXTS,
)
def test_the_worst_case_is_never_below_the_bill(
    *, messages: list[dict[str, Any]], asked: dict[str, Any], tools: bool, model: str, about: str, emulator: Emulator
) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": about, "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": about})}}
    if tools:
        messages = [*messages, {"role": "assistant", "content": "", "tool_calls": [call]}]
    messages = [*messages, {"role": "user", "content": "x"}]
    request = ChatRequest(model, messages, ChatOptions(tools=[tool] if tools else None, **asked))
    budget = Budget(10)
    with Client(base_url=emulator.url, api_key=emulator.api_key, budget=budget) as client:
        (candidate,) = client.explain(request).order
        answer = client.chat(request)
    assert answer.route is not None
    assert candidate.cost.worst is not None
    assert 0 < Decimal(answer.route["cost_usd"]) == budget.spent <= candidate.cost.worst


@pytest.mark.parametrize("extra", [{"max_tokens": 5000}, {"max_completion_tokens": 5000}, {"n": 50}, {"model": GLM}])
def test_lengths_in_extra_body_count(extra: dict[str, Any], way: Way) -> None:
    with pytest.raises(NoCandidateError, match="max_cost"):
        way(ask(SMALL, max_tokens=10, extra_body=extra), Policy(max_cost=Decimal("0.0001")))
    assert way.asked == []
    assert way(ask(SMALL, max_tokens=10, extra_body={"top_k": 3}), Policy(max_cost=Decimal("0.0001"))).usage


def test_an_impatient_caller_poisons_nobodys_health(way: Way) -> None:
    for _ in range(3):
        way.emulator.script(Fault("slow_start", seconds=30))
        with pytest.raises(InferenceError):
            way(ask(SMALL), timeout=0.05)
    made = Client(**way.made).explain(ask(), policy=BOTH)  # type: ignore[arg-type]
    assert made.chosen == SMALL


def test_fit_lowers_what_is_sent(way: Way) -> None:
    answer = way(ask(SMALL), Policy(max_cost=Decimal("0.001"), fit=True))
    sent = way.emulator.requests[-1].json()["max_tokens"]
    assert answer.route is not None
    assert answer.route["plan"]["candidates"][0]["max_tokens"] == sent < 131_072
    with pytest.raises(NoCandidateError, match=r"max_cost is 0\.001"):
        way(ask(SMALL), Policy(max_cost=Decimal("0.001")))


# Every current model

VIOLATIONS: dict[str, tuple[dict[str, Any], Any]] = {
    # name: (what the call asks for, whether a card allows it)
    "a picture": ({"content": [IMAGE]}, lambda card: card.accepts("image")),
    "audio": ({"content": [{"type": "input_audio"}]}, lambda card: card.accepts("audio")),
    "tools": ({"tools": [TOOL]}, lambda card: card.tools is not False),
    "reasoning": ({"reasoning": True}, lambda card: card.reasoning.mode != "none"),
    "no reasoning": ({"reasoning": False}, lambda card: card.reasoning.mode != "always"),
    "a long answer": (
        {"max_tokens": 300_000},
        lambda card: min(card.output_limit or 10**9, card.context_window or 10**9) >= 300_000,
    ),
    "a long prompt": ({"content": "a " * 200_000}, lambda card: (card.context_window or 10**9) >= 200_000),
}
ACTIVE = [card for card in Catalog.bundled() if card.status == "active"]


@pytest.fixture(scope="module")
def offline() -> Iterator[Client]:
    with Client(base_url="http://127.0.0.1:9/v1", api_key="k") as client:
        yield client


@pytest.mark.parametrize("name", VIOLATIONS)
@pytest.mark.parametrize("card", ACTIVE, ids=lambda card: card.id)
def test_auto_avoids_what_a_card_forbids(name: str, card: ModelCard, offline: Client) -> None:
    asked, allows = VIOLATIONS[name]
    made = offline.explain(ask(**asked))
    found = next(candidate for candidate in made.candidates if candidate.model == card.id)
    able = bool(allows(card))
    # What is only doubted of a long prompt is enough to go elsewhere.
    doubted = {rejection.code for rejection in found.rejected} == {"context_window"}
    assert (not found.rejected) is able or (able and doubted)


def test_a_record_is_made_of_every_call(way: Way) -> None:
    answer = way(ask(SMALL))
    way.emulator.script(Reply(tool_calls=(ToolUse("f"),)))
    way(ask("auto", tools=[TOOL]))
    plain, routed = way.records
    assert (plain.requested, [a.model for a in plain.attempts]) == (SMALL, [SMALL])
    assert plain.plan == {"requested": SMALL, "policy": "named", "chosen": SMALL, "order": [SMALL]}
    assert plain.need is not None
    assert routed.requested == "auto"
    assert routed.plan is not None
    assert plain.route == answer.route
    assert routed.need is None  # it stands in the plan
    assert json.loads(json.dumps(routed.to_dict())) == routed.to_dict()
    assert plain.attempts[0].seconds > 0
    assert (plain.attempts[0].first_event_seconds is not None) is ("stream" in way.name)


def test_services_are_told_apart() -> None:
    one = Service.of("http://a", None, "k")
    assert Service.of("http://a", None, "k") is one
    assert (
        len(
            {
                id(Service.of(*other))
                for other in [("http://a", None, "k"), ("http://a", "t/p", "k"), ("http://a", None, "l")]
            }
        )
        == 3
    )
