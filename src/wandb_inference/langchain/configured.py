"""What a chat model of ours is made of: its parameters, the clients they make, and what LangChain asks of any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Self, Unpack

from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from pydantic import (
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from wandb_inference._exchange import Timeouts
from wandb_inference._version import __version__
from wandb_inference.accounting import Budget, CallRecord, to_usd
from wandb_inference.catalog import Catalog, ReviewMode
from wandb_inference.chat import ChatOptions, ChatRequest, Reasoning
from wandb_inference.client import AsyncClient, Client
from wandb_inference.errors import ConfigurationError, InferenceError
from wandb_inference.langchain.counting import countable, countable_tool
from wandb_inference.langchain.errors import as_langchain
from wandb_inference.langchain.facts import Facts, from_cache
from wandb_inference.langchain.labels import tell_tracers, to_labels
from wandb_inference.langchain.messages import Replay, to_wire
from wandb_inference.langchain.options import CALL_OPTIONS, HOSTS_OWN, OPTIONS, canonical, renamed, typed
from wandb_inference.langchain.profile import CardProfile, to_profile, to_profile_of_all
from wandb_inference.langchain.provider import PROVIDER
from wandb_inference.langchain.structured import as_format
from wandb_inference.routing import AUTO, Policy, is_auto
from wandb_inference.settings import Settings, TransportName


@cache
def _options_of(model: type[BaseChatModel]) -> frozenset[str]:
    """Return which of its fields are options of a call."""
    return frozenset(OPTIONS & set(model.model_fields))


if TYPE_CHECKING:
    from httpx import AsyncClient as HttpxAsyncClient
    from httpx import Client as HttpxClient

    from wandb_inference.langchain.parameters import Parameters
else:  # at run time, httpx is imported by those who use it: it takes longer than this module
    HttpxClient = HttpxAsyncClient = Any


def _secret(key: SecretStr | str | None) -> SecretStr | None:
    return SecretStr(key) if isinstance(key, str) else key


_OF_CLIENTS = (
    *("catalog", "review", "max_retries", "timeout", "max_concurrency", "on_record"),
    *("default_headers", "default_query"),
)
_CONNECTING = {
    *_OF_CLIENTS,
    *("api_key", "project", "base_url", "transport", "http_client", "http_async_client"),
}


def _said_by_pydantic(error: ValidationError, fields: Mapping[str, FieldInfo]) -> InferenceError:
    """Return the first of pydantic's findings as an error of ours; what was given may be a key, and is not shown."""
    found = error.errors(include_input=False, include_url=False)[0]
    ours = found.get("ctx", {}).get("error")
    if isinstance(ours, InferenceError):
        return ours
    name = str(found["loc"][0]) if found["loc"] else "The model"
    about = fields[name].description if name in fields else None
    if found["type"] == "missing":
        return ConfigurationError(f"{name} is missing.", hint=about or "")
    why = str(ours) if ours is not None else found["msg"].replace("Input should be", "it must be")
    return ConfigurationError(f"{name} does not fit: {why}.", hint=f"{name}: {about}" if about else "")


_INHERITED = {
    "name": "What runs of the model are called in traces.",
    "cache": "Where answers are kept: ``True`` for the global cache, ``False`` for none, or a cache.",
    "verbose": "Print what is asked and answered.",
    "callbacks": "Handlers that are told of every run.",
    "tags": "Tags of every run.",
    "metadata": "Metadata of every run.",
    "custom_get_token_ids": "What counts tokens exactly.",
    "rate_limiter": "LangChain's limiter of requests.",
    "disable_streaming": "``True``: answer whole where a stream is asked for; ``tool_calling``: only with tools.",
    "output_version": "``v1``: the content of messages is blocks.",
    "profile": "What the model can do; else as the catalog says.",
}
"""langchain-core describes its fields in docstrings, which pydantic does not see."""


class Configured(BaseChatModel):
    """The parameters, and what follows from them without a call."""

    # No aliases: type checkers disagree on which name of a field they are; `canonical` takes the other spellings.
    # Errors show no input: it may be the key.
    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    model: str
    """Model id, or an alias from the catalog; ``auto``, ``auto:cheapest`` and the like. A list of models or a function
    of the call becomes a part of ``policy``, and this ``auto``."""
    api_key: SecretStr | str | None = Field(default=None, repr=False)
    """Else ``WANDB_API_KEY``, else the netrc entry of ``wandb login``."""
    project: str | None = None
    """``team/project``; else ``WANDB_INFERENCE_PROJECT``, else ``WANDB_ENTITY`` + ``WANDB_PROJECT``."""
    base_url: str | None = None
    """Else ``WANDB_INFERENCE_BASE_URL``, else the service."""

    temperature: float | None = None
    """How freely tokens are drawn; 0 takes the likeliest."""
    top_p: float | None = None
    """Draw from the likeliest tokens that have this probability together."""
    max_tokens: int | None = None
    """Ceiling for the answer in tokens, its reasoning included."""
    stop: list[str] | None = None
    """Texts where the answer ends; one may be given alone."""
    seed: int | None = None
    """For answers that repeat as far as the service can."""
    n: int | None = None
    """Answers to one prompt; not in streams, whose chunks LangChain adds up to one message."""
    frequency_penalty: float | None = None
    """Against tokens that came often."""
    presence_penalty: float | None = None
    """Against tokens that came at all."""
    logit_bias: dict[str, float] | None = None
    """What is added to the logits of tokens, by token id."""
    logprobs: bool | None = None
    """Return the log probabilities of the answer's tokens."""
    top_logprobs: int | None = None
    """Return those of so many alternatives at each token, too."""
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

    policy: InstanceOf[Policy] | None = Field(default=None, exclude=True)
    """Which models may take a call, who goes first, what happens when one fails."""
    max_cost: Decimal | None = None
    """USD that a call may cost at worst."""
    budget: Budget | None = Field(default=None, exclude=True)
    """What calls may cost together, as a ``Budget``, which may be shared, or in USD."""
    on_record: Callable[[CallRecord], object] | None = Field(default=None, exclude=True)
    """Called with what each call came to."""
    max_concurrency: int | None = None
    """Calls in flight for a model at most; below it, the limit adapts to what the service takes."""

    streaming: bool = False
    """Stream inside ``invoke``, too."""
    stream_usage: bool = True
    """Ask streams for their token counts; without them they have no cost."""
    coalesce: bool = True
    """Deltas of a kind that one network read brought leave as one chunk; ``False``: one chunk each."""
    include_response_headers: bool = False
    """Keep the response headers in ``response_metadata``."""
    max_retries: int = Field(default=2, ge=0)
    """Retries after the first attempt."""
    timeout: float | Timeouts | None = None
    """Seconds without an answer, or without the next event of a stream; ``(connect, read)``, an ``httpx.Timeout``, or
    ``Timeouts`` in detail."""
    review: ReviewMode = "strict"
    """``strict`` refuses calls that the catalog says cannot succeed, ``warn`` warns, ``off`` sends everything."""
    # Gateways take keys in them: shown and traced nowhere.
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request."""
    default_query: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Added to every URL."""
    catalog: Catalog | None = Field(default=None, exclude=True)
    """What is known of the models; ``Catalog.empty()`` for a server with models of its own."""
    http_client: HttpxClient | None = Field(default=None, exclude=True)
    """An ``httpx.Client`` of your own; it stays yours to close."""
    http_async_client: HttpxAsyncClient | None = Field(default=None, exclude=True)
    """The same for asynchronous calls: an ``httpx.AsyncClient``."""
    transport: TransportName | None = None
    """The HTTP library where no client is given: ``httpx``, or ``fast``, which needs the extra ``[fast]``; else
    ``WANDB_INFERENCE_TRANSPORT``."""

    if TYPE_CHECKING:  # what is taken is wider than what is kept

        def __init__(self, **parameters: Unpack[Parameters]) -> None: ...

    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            try:
                super().__init__(*args, **kwargs)
            except ValidationError as e:
                raise as_langchain(_said_by_pydantic(e, type(self).model_fields)) from None  # its own is long

    @field_validator("api_key")
    @classmethod
    def _hide(cls, key: SecretStr | str | None) -> SecretStr | None:
        return _secret(key)

    @field_validator("stop", mode="before")
    @classmethod
    def _list(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, tuple) else stop

    @field_validator("timeout", mode="before")
    @classmethod
    def _in_seconds(cls, timeout: Any) -> Any:
        if isinstance(timeout, Mapping):  # as it was written by dumps()
            timeout = Timeouts(**timeout)
        checked = Timeouts.of(timeout)
        return timeout if isinstance(timeout, int | float | None) else checked

    @field_validator("max_cost", mode="before")
    @classmethod
    def _in_usd(cls, amount: Any) -> Any:
        return None if amount is None else to_usd(amount, "max_cost")

    @field_validator("budget", mode="before")
    @classmethod
    def _of_usd(cls, budget: Any) -> Any:
        return Budget.of(budget)

    @field_validator("http_client", "http_async_client")
    @classmethod
    def _of_httpx(cls, client: Any, field: ValidationInfo) -> Any:
        wanted = "Client" if field.field_name == "http_client" else "AsyncClient"
        kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(client).__mro__}
        if client is not None and f"httpx.{wanted}" not in kinds:
            raise ValueError(f"it must be an httpx.{wanted}, not {type(client).__qualname__}")
        return client

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_parameters(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        given = canonical(values, cls.model_fields)
        if not isinstance(given.get("model", ""), str):
            given["policy"] = replace(given.get("policy") or Policy(), models=given["model"])
            given["model"] = AUTO
        if isinstance(given.get("profile"), CardProfile):  # of the model that this one is configured from
            del given["profile"]
        return given

    @model_validator(mode="after")
    def _set_up(self) -> Self:
        _ = self._clients  # now, or what is wrong with the settings would be said at the first call
        return self

    @cached_property
    def _clients(self) -> tuple[Client, AsyncClient]:
        # The key stays where it was found: written back, it would follow a copy of the model to another host.
        settings = Settings.resolve(
            api_key=self.api_key, project=self.project, base_url=self.base_url, transport=self.transport
        )
        shared = {name.removeprefix("default_"): getattr(self, name) for name in _OF_CLIENTS}
        return (
            Client(settings=settings, http_client=self.http_client, entry="langchain", **shared),
            AsyncClient(settings=settings, http_client=self.http_async_client, entry="langchain", **shared),
        )

    def __setattr__(self, name: str, value: Any) -> None:
        # A key that is assigned as a plain string would be shown in dumps.
        super().__setattr__(name, _secret(value) if name == "api_key" else value)
        if name in _CONNECTING:
            self.__dict__.pop("_clients", None)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo |= {id(client): client for client in (self.http_client, self.http_async_client) if client is not None}
        return super().__deepcopy__(memo)  # httpx clients cannot be copied, and are the user's own

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        fields = {name: value for name, value in state["__dict__"].items() if name != "_clients"}
        return {**state, "__dict__": fields}  # worker processes make their own clients

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its profile is that of its own model."""
        copied = super().model_copy(update=update, deep=deep)
        if update and not _CONNECTING.isdisjoint(update):
            copied.__dict__.pop("_clients", None)
        if isinstance(copied.profile, CardProfile):
            copied.profile = copied._resolve_model_profile()  # noqa: SLF001 (its own)
        return copied

    @property
    def _client(self) -> Client:
        return self._clients[0]

    @property
    def _async_client(self) -> AsyncClient:
        return self._clients[1]

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
        return {"model": self.model, "base_url": self.settings.base_url, **set_, **self._told_terms}

    @property
    def _told_terms(self) -> dict[str, str]:
        terms = {"policy": self.policy, "max_cost": self.max_cost}
        return {name: str(value) for name, value in terms.items() if value is not None}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What serialisation writes of fields that are no JSON, and a cache tells models apart by.

        A policy's text is none when it is read again, nor is a budget's: better an error than a model that may ask any
        other, or spend what it likes.
        """
        terms: dict[str, Any] = dict(self._told_terms)
        if self.budget is not None:
            terms["budget"] = f"of {self.budget.limit} USD"
        if isinstance(self.timeout, Timeouts):
            terms["timeout"] = asdict(self.timeout)
        return terms

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Names under which serialisation writes a reference instead of the key."""
        return {"api_key": "WANDB_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether ``dumps`` writes a constructor call; it does, without the key."""
        return True

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        kwargs = renamed(kwargs)
        model = str(kwargs.get("model") or self.model)
        card = self._client.catalog.get(model)
        # Weave takes for the model's name whatever in an answer begins with it: no answer begins so.
        named = card.id if card else f"{PROVIDER}/{model}" if is_auto(model) else model
        params = LangSmithParams(ls_provider=PROVIDER, ls_model_name=named, ls_model_type="chat")
        options = self._options(stop, {k: v for k, v in kwargs.items() if k in ("temperature", "max_tokens")})
        if options.temperature is not None:
            params["ls_temperature"] = options.temperature
        if options.max_tokens is not None:
            params["ls_max_tokens"] = options.max_tokens
        if options.stop:
            params["ls_stop"] = [str(text) for text in options.stop] if isinstance(options.stop, list) else []
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        catalog = Catalog.bundled() if self.catalog is None else self.catalog
        if is_auto(self.model):
            return to_profile_of_all(card for card in catalog if card.status == "active")
        card = catalog.get(self.model)
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
        wire = countable(messages, self.replay_reasoning)
        return self._client.estimate_tokens(ChatRequest(self.model, wire, options))

    # One call

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> ChatRequest:
        given = canonical({k: v for k, v in kwargs.items() if k not in HOSTS_OWN}, CALL_OPTIONS)
        given = typed(given, type(self).model_fields)
        model = given.pop("model", None) or self.model
        return ChatRequest(model, to_wire(messages, self.replay_reasoning), self._options(stop, given))

    def _streaming_disabled(self, **kwargs: Any) -> bool:
        # Inside invoke, tracers and graphs ask for a stream where n answers were asked for, which fit none.
        wanted = kwargs.get("n") or self.n or 1
        return (wanted > 1 and not kwargs.get("stream")) or super()._streaming_disabled(**kwargs)

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
        fields = self.__dict__
        options = {name: fields[name] for name in _options_of(type(self))}
        named = {name: value for name, value in given.items() if value is not None and name != "extra_body"}
        for source in (of_model, named, of_call):
            if source:
                options |= {name: source[name] for name in OPTIONS & set(source)}
        options["stop"] = [stop] if isinstance(stop, str) else stop or options["stop"] or None
        if "response_format" in options:
            options["response_format"] = as_format(options["response_format"])
        options["include_usage"] = given.get("stream_usage", self.stream_usage)
        extra = {name: value for name, value in {**of_model, **of_call}.items() if name not in OPTIONS}
        return ChatOptions(**{**options, "extra_body": extra or None})

    def _terms(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the policy and the budget of one call."""
        policy, cost = given.get("policy") or self.policy, given.get("max_cost")
        cost = self.max_cost if cost is None else to_usd(cost, "max_cost")
        if cost is not None and (policy is None or policy.max_cost is None or cost < policy.max_cost):
            policy = replace(policy or Policy(), max_cost=cost)
        return {"policy": policy, "budget": self.budget if given.get("budget") is None else given["budget"]}

    def _told(self, given: Mapping[str, Any], run: BaseRunManager | None) -> dict[str, Any]:
        """Return the policy, the budget and the labels of one call."""
        return {**self._terms(given), "labels": to_labels(run)}

    def _facts(self, request: ChatRequest, model: str, headers: Mapping[str, str], run: BaseRunManager | None) -> Facts:
        """Return what makes the metadata of an answer; tracers hear which model gave it."""
        if run is not None and model != request.model:
            tell_tracers(run, model)
        catalog = self._client.catalog
        card = catalog.get(model) or catalog.get(request.model)  # servers may call their models as they like
        return Facts(request.model, card, headers, self.include_response_headers)

    def _convert_cached_generations(self, cache_val: list[Any]) -> list[ChatGeneration]:
        generations = super()._convert_cached_generations(cache_val)
        for generation in generations:
            if isinstance(generation.message, AIMessage):
                generation.message = from_cache(generation.message)
        return generations

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        totals: dict[str, int] = {}
        for output in llm_outputs:
            for name, count in ((output or {}).get("token_usage") or {}).items():
                totals[name] = totals.get(name, 0) + count
        return {"model_name": self.model, "token_usage": totals}

    def close(self) -> None:
        """Close idle connections, unless other models share them; the model stays usable."""
        self._client.close_idle()

    async def aclose(self) -> None:
        """Close the idle connections of this event loop, unless other models share them."""
        await self._async_client.aclose_idle()


for _name, _about in _INHERITED.items():
    if _name in Configured.model_fields:
        Configured.model_fields[_name].description = _about
