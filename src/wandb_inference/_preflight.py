"""What the catalog has to say about a call: before it is sent, and when the service does not know its model."""

from __future__ import annotations

import warnings

from wandb_inference.catalog import Catalog, Measured, ModelCard, ReviewMode, ReviewWarning, review
from wandb_inference.errors import (
    ConfigurationError,
    InferenceError,
    NotFoundError,
    RequestReviewError,
    TransportError,
    UnknownModelError,
)

_NAMED = 5  # alternatives in a message; the findings hold all of them


def preflight(call: Measured, catalog: Catalog, mode: ReviewMode) -> ModelCard | None:
    """Return the card of the call's model, once the call has passed its review; ``None`` when the model is unknown.

    Raises:
        UnknownModelError: the model is retired (``strict``).
        RequestReviewError: the call cannot succeed (``strict``).
    """
    request = call.request
    if not request.model:
        raise ConfigurationError("The call names no model.", hint="`wandb-inference models` lists them.")
    card = catalog.get(request.model)
    if mode == "off":
        return card
    if card is None:
        if alike := catalog.suggestions(request.model):
            meant = " or ".join(map(repr, alike))
            warnings.warn(f"{request.model} is not in the catalog; did you mean {meant}?", ReviewWarning, stacklevel=2)
        return None
    findings = review(call, card, catalog)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors and mode == "strict":
        if gone := next((finding for finding in errors if finding.code == "model_retired"), None):
            raise retired(card, catalog, why=gone.message)
        said = "; ".join(dict.fromkeys(finding.message for finding in errors))
        others = ", ".join(errors[0].alternatives[:_NAMED])
        raise RequestReviewError(
            f"{card.id} cannot take this call: {said}.",
            model=card.id,
            findings=findings,
            hint=(f"Models that take it: {others}. " if others else "")
            + "Nothing was sent; review='off' sends it anyway.",
        )
    for finding in findings:
        warnings.warn(f"{card.id}: {finding.message}.", ReviewWarning, stacklevel=2)
    return card


def explain(error: InferenceError, model: str, catalog: Catalog) -> None:
    """Name the model in the error, and add to a 404 what the catalog knows about the id."""
    if isinstance(error, TransportError) and model not in error.message:
        error.message = f"{model}: {error.message}"
    if isinstance(error, NotFoundError) and not error.is_path:
        card = catalog.get(model)
        alike = catalog.suggestions(model) if card is None else ()
        if card is not None and not card.servable:
            error.hint = str(retired(card, catalog))
        elif alike:
            error.hint = f"Did you mean {' or '.join(map(repr, alike))}? {error.hint}"


def retired(card: ModelCard, catalog: Catalog, *, why: str = "") -> UnknownModelError:
    """Return the error for a model that is not served any more, with what to use instead."""
    successor = catalog.successor(card)
    alike = [other.id for other in catalog if other.status == "active" and other.family == card.family]
    if successor is not None:
        hint = f"Use {successor.id} instead."
    elif alike:
        named = (
            f"Its replacement, {card.replacement}, is retired, too" if card.replacement else "No replacement is named"
        )
        hint = f"{named}; of the same family: {', '.join(alike)}."
    else:
        hint = "No replacement is named; `wandb-inference models` lists the active ones."
    return UnknownModelError(
        f"{card.id} is not served any more{why and f': {why}'}.",
        model=card.id,
        suggestions=[successor.id] if successor else alike,
        replacement=successor.id if successor else None,
        hint=hint,
    )
