"""What other tracers of the process have around a call, when it begins."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple


class Around(NamedTuple):
    """The traces that a call is part of."""

    weave: Any = None
    """Weave's own call."""
    trace_id: str | None = None
    """OpenTelemetry's, as 32 hexadecimal digits."""
    span_id: str | None = None
    """The span around it, as 16 of them."""

    @classmethod
    def now(cls) -> Around:
        """Return what is around this moment, from tracers that the program has imported itself."""
        weave, otel = sys.modules.get("weave"), sys.modules.get("opentelemetry.trace")
        try:
            call = weave.get_current_call() if weave is not None else None
            span = otel.get_current_span().get_span_context() if otel is not None else None
        except Exception:  # noqa: BLE001 (other versions of them; the call is logged all the same)
            return cls()
        if span is None or not span.is_valid:
            return cls(call)
        return cls(call, f"{span.trace_id:032x}", f"{span.span_id:016x}")
