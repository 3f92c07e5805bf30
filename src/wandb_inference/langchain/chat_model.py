"""``ChatWandbInference``: the host class. It translates; what it translates to and from lives beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from typing_extensions import Self

from wandb_inference._exchange import Timeouts
from wandb_inference._version import __version__
from wandb_inference.catalog import Catalog, ModelCard, ReviewMode
from wandb_inference.chat import ChatOptions, ChatRequest, Reasoning
from wandb_inference.client import AsyncClient, Client
from wandb_inference.errors import ConfigurationError, InferenceError
from wandb_inference.langchain import blocks as _blocks  # registers the content-block translator  # noqa: F401
from wandb_inference.langchain.counting import countable, countable_tool
from wandb_inference.langchain.errors import as_langchain, langchain_errors
from wandb_inference.langchain.messages import Replay, to_wire
from wandb_inference.langchain.options import CALL_OPTIONS, OPTIONS, canonical, to_tool_choice
from wandb_inference.langchain.profile import CardProfile, to_profile
from wandb_inference.langchain.provider import PROVIDER
from wandb_inference.langchain.results import to_result
from wandb_inference.langchain.streams import Chunks, Events
from wandb_inference.langchain.structured import (
    Method,
    Schema,
    function_of,
    instructed,
    parser_of,
    response_format,
    with_raw,
)
from wandb_inference.settings import Settings

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData


def _secret(key: SecretStr | str | None) -> SecretStr | None:
    return SecretStr(key) if isinstance(key, str) else key


def _message_id(run: BaseRunManager | None) -> str:
    return f"{LC_ID_PREFIX}-{run.run_id}" if run else ""


class ChatWandbInference(BaseChatModel):
    """W&B Inference (CoreWeave Serverless Inference) as a LangChain chat model.

    Setup:
        ``pip install 'wandb-inference[langchain]'``, and a key: ``WANDB_API_KEY``, ``wandb login``, or ``api_key=``.

    Instantiate:
        .. code-block:: python

            from wandb_inference.langchain import ChatWandbInference

            model = ChatWandbInference(model="openai/gpt-oss-20b", temperature=0)

    Invoke:
        .. code-block:: python

            answer = model.invoke("Say hello in French.")
            answer.text                                          # the answer
            answer.additional_kwargs["reasoning_content"]        # how the model came to it
            answer.usage_metadata                                # tokens, cached and reasoning ones apart
            answer.response_metadata["cost"]                     # USD, from the model catalog

    Stream:
        .. code-block:: python

            for chunk in model.stream("Say hello in French."):
                print(chunk.text, end="")

    Tool calling:
        .. code-block:: python

            from pydantic import BaseModel, Field

            class GetWeather(BaseModel):
                '''Get the weather in a city.'''

                city: str = Field(description="the city")

            model.bind_tools([GetWeather]).invoke("What is the weather in Paris?").tool_calls

    Structured output:
        .. code-block:: python

            class Joke(BaseModel):
                setup: str
                punchline: str

            model.with_structured_output(Joke).invoke("Tell me a joke about cats.")

    Reasoning:
        ``reasoning=False`` or ``True`` switches it, ``reasoning="low"`` names an effort; a model that cannot says so
        before anything is sent.

    Raises:
        ConfigurationError: no key, a malformed project or base URL, or a parameter that does not exist.
        InferenceError: from calls; every class is also langchain-core's ``ModelError`` class for its condition.
    """

    # No aliases: type checkers disagree on which name of a field they are; `canonical` takes the other spellings.
    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str
    """Model id, or an alias from the catalog."""
    api_key: Annotated[SecretStr | str | None, AfterValidator(_secret)] = Field(default=None, repr=False)
    """Else ``WANDB_API_KEY``, else the netrc entry of ``wandb login``."""
    project: str | None = None
    """``team/project``; else ``WANDB_INFERENCE_PROJECT``, else ``WANDB_ENTITY`` + ``WANDB_PROJECT``."""
    base_url: str | None = None
    """Else ``WANDB_INFERENCE_BASE_URL``, else the service."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Ceiling for the answer in tokens, its reasoning included."""
    stop: list[str] | None = None
    seed: int | None = None
    n: int | None = None
    """Answers to one prompt; not in streams, whose chunks LangChain adds up to one message."""
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning: Reasoning | None = None
    """``True`` / ``False``, or an effort level such as ``"low"``."""
    replay_reasoning: Replay = "all"
    """Which assistant turns of the history go back with their reasoning; most chat templates drop old ones anyway."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request body, such as ``cache_salt``."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """The same, under the name LangChain users know."""

    schema_as_tool: bool | None = None
    """Send a schema that stands beside tools as one more tool; ``None``: if the model's card says so."""

    streaming: bool = False
    """Stream inside ``invoke``, too."""
    stream_usage: bool = True
    """Ask streams for their token counts; without them they have no cost."""
    coalesce: bool = True
    """Deltas that one network read brought leave as one chunk; ``False``: one chunk each."""
    include_response_headers: bool = False
    max_retries: int = 2
    timeout: float | Timeouts | None = None
    """Seconds without an answer, or without the next event of a stream."""
    review: ReviewMode = "strict"
    """``strict`` refuses calls that the catalog says cannot succeed, ``warn`` warns, ``off`` sends everything."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True)
    default_query: dict[str, str] | None = None
    catalog: Catalog | None = Field(default=None, exclude=True)
    """What is known of the models; ``Catalog.empty()`` for a server with models of its own."""
    http_client: httpx.Client | None = Field(default=None, exclude=True)
    http_async_client: httpx.AsyncClient | None = Field(default=None, exclude=True)

    _clients: tuple[Client, AsyncClient] = PrivateAttr()
    _connected: tuple[Any, ...] = PrivateAttr(default=())

    if not TYPE_CHECKING:  # the fields are the signature that type checkers see

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            try:
                super().__init__(*args, **kwargs)
            except ValidationError as e:
                ours = [problem["ctx"]["error"] for problem in e.errors() if "error" in problem.get("ctx", {})]
                if ours and isinstance(ours[0], InferenceError):
                    raise as_langchain(ours[0]) from None  # pydantic would bury the message, and change the class
                raise

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_parameters(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        given = canonical(values, cls.model_fields)
        if isinstance(given.get("profile"), CardProfile):  # of the model that this one is configured from
            del given["profile"]
        return given

    @model_validator(mode="after")
    def _set_up(self) -> Self:
        self._connect()
        return self

    def _connect(self) -> tuple[Client, AsyncClient]:
        """Make the clients, and make them again when one of their fields was changed on the model or on a copy."""
        if isinstance(self.api_key, str):
            self.api_key = _secret(self.api_key)  # assigned as a plain string, it would be shown in dumps
        names = ("catalog", "review", "max_retries", "timeout", "default_headers", "default_query")
        own = ("api_key", "project", "base_url", "http_client", "http_async_client")
        fields = tuple(getattr(self, name) for name in (*names, *own))
        if fields != self._connected:
            # The key stays where it was found: written back, it would follow a copy of the model to another host.
            settings = Settings.resolve(api_key=self.api_key, project=self.project, base_url=self.base_url)
            shared = {name.removeprefix("default_"): getattr(self, name) for name in names}
            self._clients = (
                Client(settings=settings, http_client=self.http_client, **shared),
                AsyncClient(settings=settings, http_client=self.http_async_client, **shared),
            )
            self._connected = fields
        return self._clients

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(client): client for client in (self.http_client, self.http_async_client) if client is not None}
        return super().__deepcopy__(memo)  # httpx clients cannot be copied, and are the user's own

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its profile is that of its own model."""
        copied = super().model_copy(update=update, deep=deep)
        if isinstance(copied.profile, CardProfile):
            copied.profile = copied._resolve_model_profile()  # noqa: SLF001 (its own)
        return copied

    @property
    def _client(self) -> Client:
        return self._connect()[0]

    @property
    def _async_client(self) -> AsyncClient:
        return self._connect()[1]

    @property
    def wandb_api_key(self) -> SecretStr:
        """The key in use, wherever it was found."""
        return self.settings.api_key

    @model_validator(mode="after")
    def _set_wandb_inference_version(self) -> Self:
        self._add_version("wandb-inference", __version__)
        return self

    @property
    def settings(self) -> Settings:
        """Where calls go and who pays for them."""
        return self._client.settings

    # What LangChain asks of every model

    @property
    def _llm_type(self) -> str:
        return "wandb-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        named = ("temperature", "top_p", "max_tokens", "stop", "seed", "n", "reasoning", "extra_body")
        set_ = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        return {"model": self.model, "base_url": self.settings.base_url, **set_}

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Names under which serialisation writes a reference instead of the key."""
        return {"api_key": "WANDB_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether ``dumps`` writes a constructor call; it does, without the key."""
        return True

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=PROVIDER, ls_model_name=str(kwargs.get("model") or self.model), ls_model_type="chat"
        )
        options = self._options(stop, {k: v for k, v in kwargs.items() if k in ("temperature", "max_tokens")})
        if options.temperature is not None:
            params["ls_temperature"] = options.temperature
        if options.max_tokens is not None:
            params["ls_max_tokens"] = options.max_tokens
        if options.stop:
            params["ls_stop"] = list(options.stop)
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        card = (Catalog.bundled() if self.catalog is None else self.catalog).get(self.model)
        return to_profile(card) if card else None

    def get_num_tokens(self, text: str) -> int:
        """Return about how many tokens a text has, without a download; exact with ``custom_get_token_ids``."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        alone, empty = (self.get_num_tokens_from_messages([HumanMessage(content)]) for content in (text, ""))
        return max(0, alone - empty)  # without what the chat template adds

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return about how many tokens a prompt has, its tools and pictures included.

        Never raises and sends nothing; the estimate follows what the service counted in earlier calls to this model.
        """
        if self.custom_get_token_ids is not None:
            return len(self.get_token_ids(str([*countable(messages), *map(countable_tool, tools or ())])))
        options = ChatOptions(tools=[countable_tool(tool) for tool in tools or ()])
        return self._client.estimate_tokens(ChatRequest(self.model, countable(messages), options))

    # The calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 (core reports the tokens)
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            completion = self._client.chat(request)
            return to_result(completion, self._card(request), include_headers=self.include_response_headers)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 (core reports the tokens)
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            request = self._request(messages, stop, kwargs)
            completion = await self._async_client.chat(request)
            return to_result(completion, self._card(request), include_headers=self.include_response_headers)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            request = self._streamed(messages, stop, kwargs)
            with self._client.stream(request) as stream:
                chunks = Chunks(**self._written(request, stream.headers))
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
            request = self._streamed(messages, stop, kwargs)
            async with await self._async_client.stream(request) as stream:
                chunks = Chunks(**self._written(request, stream.headers))
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
            with self._client.stream(request) as stream:
                events = Events(**self._written(request, stream.headers), message_id=_message_id(run_manager))
                for batch in stream.batches():
                    yield from events.of(batch)

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        with langchain_errors():
            request = self._streamed(messages, stop, kwargs)
            async with await self._async_client.stream(request) as stream:
                events = Events(**self._written(request, stream.headers), message_id=_message_id(run_manager))
                async for batch in stream.batches():
                    for event in events.of(batch):
                        yield event

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> ChatRequest:
        # LangChain obeys these itself, and hands them on all the same.
        hosts_own = ("stream", "ls_structured_output_format", "structured_output_format")
        given = canonical({k: v for k, v in kwargs.items() if k not in hosts_own}, CALL_OPTIONS)
        model = given.pop("model", None) or self.model
        return ChatRequest(model, to_wire(messages, self.replay_reasoning), self._options(stop, given))

    def _streamed(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> ChatRequest:
        request = self._request(messages, stop, kwargs)
        if (request.options.n or 1) > 1:
            raise ConfigurationError(
                f"n={request.options.n} cannot be streamed: LangChain adds all chunks up to one message.",
                hint="Use invoke or generate, or leave n out.",
            )
        return request

    def _options(self, stop: list[str] | None, given: Mapping[str, Any]) -> ChatOptions:
        """Return the options of one call: what the call names wins over what the model was made with.

        Extra fields that are options are options still, so that the review sees them.
        """
        of_call = given.get("extra_body") or {}
        of_model = {**self.model_kwargs, **(self.extra_body or {})}
        of_model |= of_model.pop("extra_body", None) or {}
        options = {name: getattr(self, name) for name in OPTIONS & set(type(self).model_fields)}
        named = {name: value for name, value in given.items() if value is not None and name != "extra_body"}
        for source in (of_model, named, of_call):
            options |= {name: source[name] for name in OPTIONS & set(source)}
        options["stop"] = stop or options["stop"] or None
        options["include_usage"] = given.get("stream_usage", self.stream_usage)
        extra = {name: value for name, value in {**of_model, **of_call}.items() if name not in OPTIONS}
        return ChatOptions(**{**options, "extra_body": extra or None})

    def _card(self, request: ChatRequest) -> ModelCard | None:
        return self._client.catalog.get(request.model)

    def _written(self, request: ChatRequest, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return how the stream of this call is written."""
        told = headers if self.include_response_headers else None
        return {"card": self._card(request), "headers": told, "coalesce": self.coalesce}

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        totals: dict[str, int] = {}
        for output in llm_outputs:
            for name, count in ((output or {}).get("token_usage") or {}).items():
                totals[name] = totals.get(name, 0) + count
        return {"model_name": self.model, "token_usage": totals}

    # What users build on

    if not TYPE_CHECKING:  # the return type is private to langchain-core

        def bind(self, **kwargs: Any) -> Any:
            """Return the model with options of the call; bound to another ``model``, it has its profile, too."""
            other = kwargs.pop("model", None) or kwargs.pop("model_name", None)
            return self.model_copy(update={"model": other}).bind(**kwargs) if other else super().bind(**kwargs)

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
            tools: functions, pydantic classes, tools, TypedDicts, OpenAI or Anthropic tool definitions.
            tool_choice: ``"auto"``, ``"none"``, ``"any"`` (or ``True``: some tool must be called), or a tool's name.
            strict: hold arguments to their schema; on by itself when a ``response_format`` comes along, because vLLM
                calls no tools beside a format otherwise.
            parallel_tool_calls: ``False`` for one call at a time.
            **kwargs: options of the call, such as ``response_format``.

        Raises:
            ConfigurationError: ``tool_choice`` names no such tool.
        """
        if strict is None and kwargs.get("response_format"):
            strict = True
        definitions = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if strict is not None:  # which LangChain leaves out of definitions that are in OpenAI's shape already
            definitions = [{**tool, "function": {"strict": strict, **tool["function"]}} for tool in definitions]
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
            schema: pydantic class (an instance comes back), or TypedDict, dataclass or JSON schema (a dict comes back).
            method: ``json_schema`` (the server enforces the schema), ``function_calling`` (the schema is a tool), or
                ``json_mode`` (the schema is described in the system turn, and not enforced).
            include_raw: return ``{"raw", "parsed", "parsing_error"}`` instead of raising.
            strict: passed on in the schema or tool.
            **kwargs: options of the call.

        Raises:
            ConfigurationError: the method does not exist, or needs a schema.
        """
        if method not in ("json_schema", "function_calling", "json_mode"):
            raise ConfigurationError(
                f"method={method!r} does not exist.", hint="json_schema, function_calling or json_mode."
            )
        if schema is None and method != "json_mode":
            raise ConfigurationError(f"method={method!r} needs a schema.", hint="Only json_mode works without one.")
        if schema is not None:
            tool: dict[str, Any] = {"type": "function", "function": function_of(schema)}
            kwargs["ls_structured_output_format"] = {"kwargs": {"method": method, "strict": strict}, "schema": tool}
        if method == "function_calling" and schema is not None:
            bound: Runnable[LanguageModelInput, Any] = self.bind_tools(
                [tool if is_dataclass(schema) else schema],
                tool_choice=tool["function"]["name"],
                strict=strict,
                parallel_tool_calls=False,
                **kwargs,
            )
        else:
            format_ = response_format(schema, method, strict=strict)
            bound = self.bind(response_format=format_, **kwargs)
            if method == "json_mode" and schema is not None:
                described: Runnable[LanguageModelInput, list[BaseMessage]] = RunnableLambda(
                    lambda prompt: instructed(self._convert_input(prompt).to_messages(), schema)
                )
                bound = described | bound
        parser = parser_of(schema, method)
        return with_raw(bound, parser) if include_raw else bound | parser

    def close(self) -> None:
        """Close idle connections, unless other models share them; the model stays usable."""
        self._client.close_idle()

    async def aclose(self) -> None:
        """Close the idle connections of this event loop, unless other models share them."""
        await self._async_client.aclose_idle()
