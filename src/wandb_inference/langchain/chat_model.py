"""``ChatWandbInference``: the host class. It translates; what it translates to and from lives beside it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.utils import LC_ID_PREFIX

from wandb_inference.errors import ConfigurationError
from wandb_inference.langchain import blocks as _blocks  # registers the content-block translator  # noqa: F401
from wandb_inference.langchain.configured import Configured
from wandb_inference.langchain.errors import langchain_errors
from wandb_inference.langchain.labels import awithin, begin, begun, within
from wandb_inference.langchain.options import CALL_OPTIONS, HOSTS_OWN, canonical, to_tool_choice
from wandb_inference.langchain.results import to_result
from wandb_inference.langchain.schemas import Schema, describe, to_tool
from wandb_inference.langchain.streams import Chunks, Events
from wandb_inference.langchain.structured import Method, instruction, reader_of, response_format, with_instruction
from wandb_inference.routing import AUTO, Plan, Policy

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData

    from wandb_inference.langchain.parameters import Parameters


def _tools(tools: Any, *, strict: bool | None = None) -> list[dict[str, Any]]:
    if not isinstance(tools, list | tuple | set | frozenset):
        raise ConfigurationError(f"tools={tools!r} is no list of tools.", hint="[tool] for one.")
    return [to_tool(tool, strict=strict) for tool in tools]


def _message_id(run: BaseRunManager | None) -> str:
    return f"{LC_ID_PREFIX}-{run.run_id}" if run else ""


class ChatWandbInference(Configured):
    """W&B Inference (CoreWeave Serverless Inference) as a LangChain chat model.

    What stands below the blocks is what the emulator prints (``wandb_inference.emulator``); the service says more.

    Setup:
        A key: ``WANDB_API_KEY``, ``wandb login``, or ``api_key=``.

        .. code-block:: bash

            pip install 'wandb-inference[langchain]'
            export WANDB_API_KEY=...

    Key init args - completion:
        model: id, or an alias from the catalog; ``auto``, ``auto:cheapest`` and the like; a list, whose first model
            answers unless it fails; or a function of the call.
        temperature, top_p, frequency_penalty, presence_penalty, logit_bias, seed: sampling.
        max_tokens: ceiling for the answer, its reasoning included.
        stop: where the answer ends.
        n: answers to one prompt; in ``invoke`` and ``generate``.
        logprobs, top_logprobs: log probabilities of the answer's tokens.
        reasoning: ``True``, ``False`` or an effort such as ``"low"``; the catalog knows how each model is told.
        replay_reasoning: which turns go back with their reasoning: ``all``, ``since_last_human``, ``none``.
        extra_body, model_kwargs: further fields of the request.

    Key init args - client:
        api_key, base_url, project: who asks whom; ``project`` is ``team/project``.
        timeout: seconds without an answer, or without the next event of a stream.
        max_retries: after the first attempt; Retry-After is honoured.
        review: ``strict`` refuses calls that cannot succeed, ``warn`` warns, ``off`` sends everything.
        streaming, stream_usage: stream inside ``invoke``; ask streams for their token counts.
        coalesce: deltas of a kind that one network read brought leave as one chunk; ``False`` for one chunk each.
        schema_as_tool: how a JSON schema travels beside tools; by itself, as the catalog says.
        include_response_headers: keep them in ``response_metadata``.
        default_headers, default_query, http_client, http_async_client: as in other SDKs.
        catalog: what is known of the models.
        policy: candidates, their order, price ceilings, when to ask another model (``Policy``).
        max_cost: USD that a call may cost at worst; also in a call.
        budget: USD that calls may cost together (``Budget``); also in a call.
        max_concurrency: calls in flight for a model at most.

    Instantiate:
        .. code-block:: python

            from wandb_inference.langchain import ChatWandbInference

            model = ChatWandbInference(model="openai/gpt-oss-20b", temperature=0)

    Invoke:
        .. code-block:: python

            answer = model.invoke([("system", "You translate to French."), ("human", "Good morning.")])
            print(answer.text)

        .. code-block:: text

            You said: Good morning.

    Stream:
        .. code-block:: python

            for chunk in model.stream("Good morning."):
                print(chunk.text, end="")

        .. code-block:: text

            You said: Good morning.

        Chunks add up to the message; content-block events come ready-made:

        .. code-block:: python

            stream = model.stream_events("Good morning.", version="v3")
            for event in stream:
                if event["event"] == "content-block-finish":
                    print(event["content"]["type"])

        .. code-block:: text

            reasoning
            text

    Async:
        .. code-block:: python

            import asyncio

            async def main() -> None:
                answer = await model.ainvoke("Good morning.")
                print(answer.text)
                print("".join([chunk.text async for chunk in model.astream("Good night.")]))

            asyncio.run(main())

        .. code-block:: text

            You said: Good morning.
            You said: Good night.

    Tool calling:
        .. code-block:: python

            from pydantic import BaseModel, Field

            class GetWeather(BaseModel):
                '''Get the weather in a city.'''

                city: str = Field(description="the city")

            answer = model.bind_tools([GetWeather]).invoke("What is the weather in Paris and Rome?")
            for call in answer.tool_calls:
                print(call["name"], call["args"])

        .. code-block:: text

            GetWeather {'city': 'Paris'}
            GetWeather {'city': 'Rome'}

    Structured output:
        .. code-block:: python

            class Movie(BaseModel):
                title: str
                year: int

            print(repr(model.with_structured_output(Movie).invoke("The movie 'Metropolis' of 1927")))

        .. code-block:: text

            Movie(title='Metropolis', year=1927)

        Enforced by the server (``method="json_schema"``); ``function_calling`` and ``json_mode`` are there, too, and
        schemas may be TypedDicts, dataclasses or JSON schemas.

    JSON mode:
        .. code-block:: python

            answer = model.bind(response_format={"type": "json_object"}).invoke("Fill in the 'title'.")
            print(answer.text)

        .. code-block:: text

            {"title": "title of: Fill in the 'title'."}

    Image input:
        .. code-block:: python

            sees = ChatWandbInference(model="Qwen/Qwen3.8-27B")
            picture = {"type": "image", "url": "https://example.com/cat.png"}
            print(sees.profile["image_inputs"])
            print(sees.invoke([("human", ["What is this?", picture])]).text)

        .. code-block:: text

            True
            You said: What is this? [1 x image_url]

        A model that cannot see says so before anything is sent, and names models that can.

    Reasoning:
        .. code-block:: python

            answer = model.invoke("Good morning.", reasoning="low")
            print(answer.additional_kwargs["reasoning_content"])
            print([block["type"] for block in answer.content_blocks])

        .. code-block:: text

            The user says 2 words.
            ['reasoning', 'text']

        It goes back to the model with the history, as ``replay_reasoning`` says.

    Token usage:
        .. code-block:: python

            print(answer.usage_metadata["output_tokens"], answer.usage_metadata["output_token_details"])
            print(model.get_num_tokens("Good morning.") > 0)  # an estimate, offline

        .. code-block:: text

            14 {'reasoning': 6}
            True

    Logprobs:
        .. code-block:: python

            answer = model.invoke("Good morning.", logprobs=True, reasoning="low")
            print([token["token"] for token in answer.response_metadata["logprobs"]["content"]][-2:])

        .. code-block:: text

            ['g', '.']

    Response metadata:
        .. code-block:: python

            print(answer.response_metadata["model_name"], answer.response_metadata["finish_reason"])
            print(f"{answer.response_metadata['cost']:.6f} USD")  # from the model catalog
            print(*sorted(answer.response_metadata)[:7])

        .. code-block:: text

            openai/gpt-oss-20b stop
            0.000002 USD
            cost cost_details finish_reason id logprobs model_name model_provider

    Raises:
        ConfigurationError: no key, a malformed project or base URL, or a parameter that does not exist.
        InferenceError: from calls; every class is also langchain-core's ``ModelError`` class for its condition.
    """

    if TYPE_CHECKING:  # else type checkers make one of the fields again

        def __init__(self, **parameters: Unpack[Parameters]) -> None: ...

    # core hands the _stream and _astream of these two no run: it is decided here, and read there.

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream the answer."""
        config, run = begin(CallbackManager, config, (self.callbacks, self.tags, self.metadata))
        return within(run, super().stream(input, config, stop=stop, **kwargs))

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (core's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream the answer."""
        config, run = begin(AsyncCallbackManager, config, (self.callbacks, self.tags, self.metadata))
        return awithin(run, super().astream(input, config, stop=stop, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            completion = self._client.chat(request, **self._told(kwargs, run_manager))
            return to_result(completion, self._facts(request, completion.model, completion.headers, run_manager))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            completion = await self._async_client.chat(request, **self._told(kwargs, run_manager))
            return to_result(completion, self._facts(request, completion.model, completion.headers, run_manager))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            request, run = self._streamed(messages, stop, kwargs), run_manager or begun()
            with self._client.stream(request, **self._told(kwargs, run)) as stream:
                chunks = Chunks(self._facts(request, stream.model, stream.headers, run), coalesce=self.coalesce)
                for batch in stream.batches():
                    for chunk in chunks.of(batch):
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with langchain_errors():
            request, run = self._streamed(messages, stop, kwargs), run_manager or begun()
            async with await self._async_client.stream(request, **self._told(kwargs, run)) as stream:
                chunks = Chunks(self._facts(request, stream.model, stream.headers, run), coalesce=self.coalesce)
                async for batch in stream.batches():
                    for chunk in chunks.of(batch):
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    # langchain-core looks these two up by name, and without them makes the events from the chunks at several times the
    # cost. They are not in its documented interface yet: tests/langchain/test_streams.py fails when nobody asks.

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        with langchain_errors():
            request = self._streamed(messages, stop, kwargs)
            with self._client.stream(request, **self._told(kwargs, run_manager)) as stream:
                facts = self._facts(request, stream.model, stream.headers, run_manager)
                events = Events(facts, coalesce=self.coalesce, message_id=_message_id(run_manager))
                for batch in stream.batches():
                    yield from events.of(batch)
            yield from events.finish()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        with langchain_errors():
            request = self._streamed(messages, stop, kwargs)
            async with await self._async_client.stream(request, **self._told(kwargs, run_manager)) as stream:
                facts = self._facts(request, stream.model, stream.headers, run_manager)
                events = Events(facts, coalesce=self.coalesce, message_id=_message_id(run_manager))
                async for batch in stream.batches():
                    for event in events.of(batch):
                        yield event
            for event in events.finish():
                yield event

    @langchain_errors()
    def explain(self, input: LanguageModelInput, **kwargs: Any) -> Plan:  # noqa: A002 (as in invoke)
        """Return which model would take the call now, what it may cost, and why others would not; nothing is sent.

        Args:
            input: as for ``invoke``.
            **kwargs: options of the call, such as ``tools`` and ``max_cost``.
        """
        kwargs = {**kwargs, **({"tools": [to_tool(t) for t in kwargs["tools"]]} if kwargs.get("tools") else {})}
        request = self._request(self._convert_input(input).to_messages(), None, kwargs)
        return self._client.explain(request, **self._terms(kwargs))

    # What users build on

    if not TYPE_CHECKING:  # the return type is private to langchain-core

        def bind(self, **kwargs: Any) -> Any:
            """Return the model with options of the call; bound to another ``model``, it has its profile, too."""
            other = kwargs.pop("model", None) or kwargs.pop("model_name", None)
            if other is None:
                return super().bind(**kwargs)
            update = {"model": other}
            if not isinstance(other, str):
                update = {"model": AUTO, "policy": replace(self.policy or Policy(), models=other)}
            return self.model_copy(update=update).bind(**kwargs)

    @langchain_errors()
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with these tools at hand.

        Args:
            tools: functions, pydantic classes, tools, TypedDicts, OpenAI or Anthropic tool definitions; without any,
                no choice is sent either, because vLLM refuses both.
            tool_choice: ``"auto"``, ``"none"``, ``"any"`` (or ``True``: some tool must be called), or a tool's name.
            strict: hold arguments to their schema; on by itself when a ``response_format`` comes along, because vLLM
                calls no tools beside a format otherwise.
            parallel_tool_calls: ``False`` for one call at a time.
            **kwargs: options of the call, such as ``response_format``.

        Raises:
            ConfigurationError: ``tool_choice`` names no such tool, or an option does not exist.
        """
        canonical(kwargs, CALL_OPTIONS | HOSTS_OWN | {"tool_choice", "strict", "parallel_tool_calls"})
        if strict is None and kwargs.get("response_format"):
            strict = True
        definitions = _tools(tools, strict=strict)
        if not definitions:  # agents without tools bind an empty list, which vLLM answers with 400
            return self.bind(**kwargs)
        choice = to_tool_choice(tool_choice, [tool["function"]["name"] for tool in definitions])
        given = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        return self.bind(tools=definitions, **{k: v for k, v in given.items() if v is not None}, **kwargs)

    @langchain_errors()
    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a chain that answers in the form of a schema.

        Args:
            schema: JSON schema, also in OpenAI's shapes, or TypedDict (a dict comes back); pydantic class, dataclass,
                or another type, such as ``list[Movie]``, ``Movie | Book``, ``Literal`` and ``Enum`` (an instance comes
                back). Where only an object will do, in tools and in JSON mode, another value travels in one. Answers
                are held to it: to JSON schemas wholly where the package ``jsonschema`` is installed, else to the
                outermost type and its required fields.
            method: ``json_schema`` (the server enforces the schema), ``function_calling`` (the schema is a tool), or
                ``json_mode`` (the schema is described in the system turn, and not enforced).
            include_raw: return ``{"raw", "parsed", "parsing_error"}`` instead of raising.
            strict: passed on in the schema or tool.
            **kwargs: options of the call; ``tools`` may stand beside the schema, and when one is called, the answer is
                ``None`` (``include_raw`` shows the call).

        Raises:
            ConfigurationError: the method does not exist, or needs a schema, or it is none; an option does not exist.
            OutputParserException: from the chain: the answer is not of the schema, was cut or refused, or is missing.
        """
        canonical(kwargs, CALL_OPTIONS | HOSTS_OWN | {"method", "include_raw", "strict"})
        if method not in ("json_schema", "function_calling", "json_mode"):
            raise ConfigurationError(
                f"method={method!r} does not exist.", hint="json_schema, function_calling or json_mode."
            )
        if schema is None and method != "json_mode":
            raise ConfigurationError(f"method={method!r} needs a schema.", hint="Only json_mode works without one.")
        if kwargs.get("response_format") is not None:
            raise ConfigurationError("response_format= and a schema are two formats.", hint="Leave one of them out.")
        others = _tools(kwargs.pop("tools", None) or [])
        names = [tool["function"]["name"] for tool in others]
        described = None if schema is None else describe(schema)
        while described is not None and described.name in names:
            described = replace(described, name=f"{described.name}_")
        if described is not None:
            if others or method != "json_schema":
                described = described.as_object()
            tool: dict[str, Any] = {"type": "function", "function": described.function}
            kwargs["ls_structured_output_format"] = {"kwargs": {"method": method, "strict": strict}, "schema": tool}
        called = described is not None and method == "function_calling"
        bound: Runnable[LanguageModelInput, Any]
        if called:
            terms: dict[str, Any] = {"strict": strict, "parallel_tool_calls": False}
            terms["tool_choice"] = "any" if others else tool["function"]["name"]
            bound = self.bind_tools([tool, *others], **{**terms, **kwargs})
        elif described is not None and method == "json_schema":
            bound = self.bind_tools(others, response_format=response_format(described, strict=strict), **kwargs)
        else:
            bound = self.bind_tools(others, response_format={"type": "json_object"}, **kwargs)
            if described is not None:
                told: Runnable[LanguageModelInput, list[BaseMessage]] = RunnableLambda(
                    partial(with_instruction, self, instruction(described))
                )
                bound = told | bound
        return bound | reader_of(described, called=called, include_raw=include_raw, others=names)


# langchain-core asks for the signature on every call, and Python makes it anew from the code each time.
for _method in (ChatWandbInference._generate, ChatWandbInference._agenerate):  # noqa: SLF001 (its own)
    vars(_method)["__signature__"] = inspect.signature(_method)
