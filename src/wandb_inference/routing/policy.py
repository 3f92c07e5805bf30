"""Which models may take a call, and which of them goes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from wandb_inference.accounting import to_usd
from wandb_inference.accounting.budget import Usd
from wandb_inference.catalog import Catalog, ModelCard, check_shape
from wandb_inference.chat import ChatOptions, ChatRequest
from wandb_inference.errors import ConfigurationError

Named: TypeAlias = Literal["cheapest", "fastest", "balanced", "ordered"]
"""``cheapest``: by the expected cost of this very call. ``fastest``: by the time to the first token, as measured in
this process, before that by active parameters. ``balanced``: by the sum of the ranks in cost, speed and size.
``ordered``: as listed."""
Order: TypeAlias = Named | Callable[..., Sequence[str]]
"""Or a function of the candidates that may take the call and its ``Need``, which returns ids, the first one first."""
Escalation: TypeAlias = Literal["length", "schema", "refusal", "empty"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a list, with settings of its own."""

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ChatOptions``; they win over the call's own."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with calls to this model; they win over the client's."""
    max_retries: int | None = None

    def options(self, options: ChatOptions) -> ChatOptions:
        """Return the options of a call to this model."""
        return _folded(replace(options, **self.settings)) if self.settings else options


Models: TypeAlias = str | Entry | Mapping[str, Any] | Sequence[str | Entry | Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a model is chosen, and what happens when it fails.

    Raises:
        ConfigurationError: one of the values is none of those that are listed.
    """

    models: Models | Callable[[ChatRequest], Models] = ()
    """Candidates, as ids, entries or mappings; none: the model that the call names, or, for ``auto``, every active one
    of the catalog. Or a function of the call that returns them, or returns ``auto:cheapest`` and the like."""
    order: Order | None = None
    """``None``: ``ordered`` where models are listed, else ``balanced``."""
    max_cost: Decimal | None = None
    """USD that one attempt of a call may cost at worst."""
    fit: bool = False
    """Lower ``max_tokens`` until ``max_cost`` holds, instead of refusing; reported in the plan."""
    min_output: int = 256
    """Tokens of an answer below which ``fit`` refuses all the same."""
    max_input_price: Decimal | None = None
    """USD per million tokens."""
    max_output_price: Decimal | None = None
    max_first_token: float | None = None
    """Seconds; models that were measured to be slower are left out."""
    deny: frozenset[str] = frozenset()
    """Ids that are never chosen."""
    escalate: frozenset[Escalation] = frozenset()
    """Answers after which the next model is asked: cut at ``max_tokens``, not in the form of the schema, refused,
    empty. Not in streams, whose first token decides."""
    sticky: bool = True
    """Keep a conversation with its model, whose prefix cache knows it, as long as that is no dearer."""
    on_retired: Literal["error", "redirect"] = "error"
    """What a call that names a retired model gets."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names of your own for ids, or for ``auto:cheapest`` and the like."""

    if TYPE_CHECKING:  # what is taken is wider than what is kept; tests/test_types.py compares the two lists

        def __init__(  # one parameter a field
            self,
            *,
            models: Models | Callable[[ChatRequest], Models] = (),
            order: Order | None = None,
            max_cost: Usd | None = None,
            fit: bool = False,
            min_output: int = 256,
            max_input_price: Usd | None = None,
            max_output_price: Usd | None = None,
            max_first_token: float | None = None,
            deny: str | Iterable[str] = (),
            escalate: Escalation | Iterable[Escalation] = (),
            sticky: bool = True,
            on_retired: Literal["error", "redirect"] = "error",
            aliases: Mapping[str, str] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.order is not None and not callable(self.order) and self.order not in get_args(Named):
            raise ConfigurationError(
                f"order={self.order!r} does not exist.", hint=f"One of {', '.join(get_args(Named))}, or a function."
            )
        for name in ("escalate", "deny"):
            value = getattr(self, name)
            if value is None or not isinstance(value, Iterable):
                raise ConfigurationError(f"{name}={value!r} is no set of names.", hint="Leave it out for none.")
            object.__setattr__(self, name, frozenset({value} if isinstance(value, str) else value))
        unknown = set(self.escalate) - set(get_args(Escalation))
        if unknown:
            raise ConfigurationError(
                f"escalate={min(unknown)!r} does not exist.", hint=f"Of {', '.join(get_args(Escalation))}."
            )
        if self.on_retired not in ("error", "redirect"):
            raise ConfigurationError(f"on_retired={self.on_retired!r} does not exist.", hint="error or redirect.")
        for name in ("max_cost", "max_input_price", "max_output_price"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, to_usd(getattr(self, name), name))
        if not callable(self.models):
            object.__setattr__(self, "models", entries(self.models) if self.models != () else ())

    @property
    def listed(self) -> tuple[Entry, ...]:
        """The models it lists; none while a function would have to be asked."""
        return () if callable(self.models) else cast("tuple[Entry, ...]", self.models)  # as the constructor left them

    @property
    def ranking(self) -> Order:
        """The order in use."""
        return self.order or ("ordered" if self.listed else "balanced")


def served(entry: Entry, catalog: Catalog, policy: Policy) -> tuple[Entry, ModelCard | None]:
    """Return the entry to ask, which is a retired one's replacement where the policy redirects, and its card."""
    card = catalog.get(entry.model)
    if card is None or card.servable or policy.on_retired != "redirect":
        return entry, card
    card = catalog.successor(card) or card
    return replace(entry, model=card.id), card


def entries(models: Models) -> tuple[Entry, ...]:
    """Return a list of models as entries.

    Raises:
        ConfigurationError: one of them is none.
    """
    listed = (models,) if isinstance(models, str | Entry | Mapping) else models
    if not isinstance(listed, list | tuple) or not listed:
        raise ConfigurationError(f"{models!r} is no list of models.", hint="Name one, or leave it out for all of them.")
    return tuple(map(_entry, listed))


def _entry(model: Any) -> Entry:
    known = {"model", "settings", "headers", "max_retries"}
    if isinstance(model, Entry):
        made = model
    elif isinstance(model, str):
        made = Entry(model)
    elif isinstance(model, Mapping) and isinstance(model.get("model"), str) and set(model) <= known:
        made = Entry(**model)
    else:
        # Its headers may be keys: only its names are shown.
        shown = f"a mapping with {', '.join(map(str, model))}" if isinstance(model, Mapping) else repr(model)
        raise ConfigurationError(f"{shown} is no model.", hint=f"An id, or a mapping with {', '.join(sorted(known))}.")
    if is_auto(made.model):
        raise ConfigurationError(f"{made.model!r} stands in a list.", hint="It stands alone; a list is in order.")
    try:
        made.options(ChatOptions())
    except TypeError as e:
        raise ConfigurationError(f"settings of {made.model}: {e}.", hint="They are fields of ChatOptions.") from e
    return made


_LENGTHS = {"n": "n", "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens"}


def _folded(options: ChatOptions) -> ChatOptions:
    """Return options in which extra_body says nothing of how long an answer may become."""
    extra = options.extra_body
    found = {_LENGTHS[name]: extra[name] for name in _LENGTHS if extra.get(name) is not None} if extra else {}
    if not found or not extra:
        return options
    rest = {name: value for name, value in extra.items() if name not in _LENGTHS}
    return replace(options, **found, extra_body=rest or None)


def is_auto(name: str) -> bool:
    """Whether a name asks for a model to be chosen."""
    return name.partition(":")[0].lower() == AUTO


def _plain(request: ChatRequest) -> ChatRequest:
    check_shape(request)
    extra = request.options.extra_body or {}
    if isinstance(extra.get("model"), str):
        rest = {name: value for name, value in extra.items() if name != "model"}
        options = replace(request.options, extra_body=rest or None)
        request = replace(request, model=extra["model"], options=options)
    options = _folded(request.options)
    return request if options is request.options else replace(request, options=options)


def resolve(request: ChatRequest, policy: Policy) -> tuple[ChatRequest, Policy]:
    """Return the call and the policy that a routing request means: aliases, ``auto``, ``auto:cheapest``, ``wandb/…``.

    What in ``extra_body`` names the model, or decides how long an answer may become, is put in its place first, or
    neither a review nor a bill would know of it.

    Raises:
        ConfigurationError: what follows ``auto:`` is no order.
        RequestReviewError: the call has not the shape of one.
    """
    spec: Any = request.model
    if not isinstance(spec, str):  # a list, or a function
        policy, request = replace(policy, models=spec), replace(request, model=AUTO)
    request = _plain(request)
    name = request.model
    if callable(policy.models):
        selected = policy.models(request)
        name, listed = (selected, ()) if isinstance(selected, str) else (AUTO, entries(selected))
        policy = replace(policy, models=listed)
    name = policy.aliases.get(name, name)
    for prefix in ("wandb/", "wandb_inference/"):  # as other routers write it
        name = name.removeprefix(prefix)
    order = name.partition(":")[2]
    if is_auto(name):
        orders = {"floor": "cheapest", "nitro": "fastest"}  # as OpenRouter calls them
        order = orders.get(order, order)
        if order and order not in get_args(Named):
            raise ConfigurationError(
                f"{request.model!r} asks for an order that does not exist.",
                hint=f"{', '.join(f'{AUTO}:{name}' for name in get_args(Named))}.",
            )
        name, policy = AUTO, replace(policy, order=order) if order else policy  # type: ignore[arg-type]  # checked
    elif policy.listed:
        # A named model goes first, what the policy lists are its fallbacks.
        named = [entry for entry in policy.listed if entry.model == name] or [Entry(name)]
        others = [entry for entry in policy.listed if entry.model != name]
        policy = replace(policy, models=(*named, *others), order="ordered")
    return (request if name == request.model else replace(request, model=name)), policy
