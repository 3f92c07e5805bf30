"""One model's facts. ``None`` always means "not known": it never blocks a call and never counts as zero."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["text", "image", "audio", "video", "file"]
Tokens = Annotated[int, Field(gt=0)]
UsdPerMillion = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Price(_Fact):
    """What tokens cost, in USD per million."""

    input: UsdPerMillion
    output: UsdPerMillion
    """Reasoning tokens are output."""
    cached_input: UsdPerMillion | None = None
    """Input tokens served from the prefix cache. Equal to ``input``: no discount. ``None``: not known."""

    @property
    def cached(self) -> Decimal:
        """``cached_input``; where no discount is known, none is given."""
        return self.input if self.cached_input is None else self.cached_input

    def per_token(self) -> tuple[float, float, float]:
        """Return USD for one token: of input, of cached input, of output."""
        each = [float(price / 1_000_000) for price in (self.input, self.cached, self.output)]
        return each[0], each[1], each[2]


class ReasoningSupport(_Fact):
    """Whether and how a model thinks before it answers."""

    mode: Literal["none", "always", "switchable"] | None = None
    """``always`` has no off switch."""
    default: Literal["on", "off", "adaptive"] | None = None
    """What a switchable model does when the request says nothing; ``adaptive`` models decide themselves."""
    switch: tuple[str, ...] = ()
    """Keys of ``chat_template_kwargs`` that take true or false."""
    efforts: tuple[str, ...] | None = None
    """Levels of ``reasoning_effort`` that the model tells apart."""

    @property
    def on_by_default(self) -> bool:
        """Whether a request that says nothing can be answered with reasoning."""
        return self.mode == "always" or (self.mode == "switchable" and self.default != "off")


class LostValue(_Fact):
    """A value that was not chosen, and who states it."""

    value: Any
    sources: tuple[str, ...]


class Conflict(_Fact):
    """A fact on which sources disagree: what was chosen, why, and what was not."""

    field: str
    chosen: Any = None
    reason: str
    lost: tuple[LostValue, ...] = ()


class ModelCard(_Fact):
    """One model of the service."""

    id: str
    """The id the API takes; case matters."""
    name: str
    family: str
    aliases: tuple[str, ...] = ()
    status: Literal["active", "unconfirmed", "deprecated", "retired"]
    """``unconfirmed``: one third party lists it, the service's feed does not (yet)."""
    checked: date
    source: str
    context_window: Tokens | None = None
    """Tokens of prompt and answer together."""
    output_limit: Tokens | None = None
    """Tokens of one answer, where a source states more than the context window again."""
    input: tuple[Modality, ...] = ("text",)
    tools: bool | None = None
    structured_output: bool | None = None
    """Whether ``response_format`` with a JSON schema is enforced."""
    schema_as_tool: bool | None = None
    """Whether a schema beside tools has to travel as one more tool, because no tool would be called otherwise."""
    reasoning: ReasoningSupport = ReasoningSupport()
    price: Price | None = None
    total_params_b: Decimal | None = None
    active_params_b: Decimal | None = None
    released: date | None = None
    deprecated_on: date | None = None
    retired_on: date | None = None
    replacement: str | None = None
    lifecycle_note: str | None = None
    notes: tuple[str, ...] = ()
    conflict: tuple[Conflict, ...] = Field(default=(), repr=False)

    @property
    def servable(self) -> bool:
        """Whether a call can be answered: retired ids get HTTP 404, every time."""
        return self.status != "retired"

    def accepts(self, modality: Modality) -> bool:
        """Whether messages to this model may hold such parts."""
        return modality in self.input
