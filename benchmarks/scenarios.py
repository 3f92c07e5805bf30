"""What is measured."""

from __future__ import annotations

from typing import NamedTuple


class Scenario(NamedTuple):
    """``times`` runs of an action, each of ``operations`` of one ``unit``."""

    about: str
    unit: str
    answer: str
    """What the server answers."""
    action: str
    """What is done with the adapter; one that cannot do it is not measured."""
    times: int
    operations: int = 1


SCENARIOS = {
    "import": Scenario("import alone", "process", "whole", "invoke", 1),
    "cold": Scenario("import, construct, first call", "process", "whole", "invoke", 1),
    "invoke": Scenario("calls one after another", "call", "whole", "invoke", 300),
    "traced": Scenario("calls with a tracer like LangSmith's", "call", "whole", "traced", 200),
    "ainvoke": Scenario("calls, 100 in flight", "call", "whole", "together", 5, 100),
    "batch": Scenario("a batch of 256 on 32 threads", "call", "whole", "batch", 5, 256),
    "prompt": Scenario("a prompt of 1 MB in 2,000 messages", "call", "whole", "prompt", 5),
    "few-messages": Scenario("a prompt of 10 messages", "message", "whole", "few", 100, 10),
    "many-messages": Scenario("a prompt of 10,000 messages", "message", "whole", "many_messages", 3, 10_000),
    "stream": Scenario("a stream of 2,000 deltas of text", "delta", "texts-2000", "stream", 5, 2000),
    "stream-100": Scenario("a stream of 100 deltas", "delta", "texts-100", "stream", 50, 100),
    "stream-20000": Scenario("a stream of 20,000 deltas", "delta", "texts-20000", "stream", 3, 20_000),
    "traced-stream": Scenario("a stream with such a tracer", "delta", "texts-2000", "traced_stream", 5, 2000),
    "astream": Scenario("an asynchronous stream of 2,000 deltas", "delta", "texts-2000", "astream", 5, 2000),
    "reasoning": Scenario("2,000 deltas, half of them reasoning", "delta", "reasoning-2000", "stream", 5, 2000),
    "tools": Scenario("2,000 deltas of tool arguments, added up", "delta", "arguments-2000", "sum", 5, 2000),
    "tools-read": Scenario("2,000 deltas of tool arguments, only read", "delta", "arguments-2000", "stream", 3, 2000),
    "v3": Scenario("2,000 deltas as v3 events", "delta", "texts-2000", "events", 5, 2000),
    "paced": Scenario("500 deltas, one a packet", "delta", "paced-500", "stream", 3, 500),
    "streams": Scenario("200 streams of 200 deltas at a time", "delta", "texts-200", "streams", 3, 40_000),
    "short": Scenario("streams of 5 deltas", "stream", "texts-5", "stream", 200),
    "ashort": Scenario("asynchronous streams of 5 deltas", "stream", "texts-5", "astream", 200),
}
