"""What a real W&B run, offline, has in its files afterwards."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import litellm
import pytest
import wandb
from support import MODEL, ask
from wandb_files import WrittenRun, read_runs

from wandb_inference import AsyncClient, Catalog, ChatRequest, Client, InferenceError, autolog, labels, price
from wandb_inference.accounting import COLUMNS
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

KEY = "wandb_v1_QWERTYuiop1234567890_secretsecretsecret"
GLM = "zai-org/GLM-5.2"


@pytest.fixture
def keyed() -> Any:
    emulator = Emulator(api_key=KEY)
    with emulator:
        yield emulator


def written(tmp_path: Path) -> WrittenRun:
    (run,) = read_runs(tmp_path)
    return run


def test_sixteen_threads_lose_nothing_and_cost_what_they_cost(keyed: Emulator, tmp_path: Path) -> None:
    autolog({"project": "p", "name": "n", "config": {"mine": 1}}, flush_seconds=0.5)
    clients = [Client(base_url=keyed.url, api_key=KEY) for _ in range(2)]

    def calls(thread: int) -> list[tuple[str, Decimal]]:
        told = []
        with autolog.context(session=f"s{thread}", tags={"half": thread % 2}):
            for n in range(200):
                request = ask(f"{thread}/{n} with {KEY}", model=(MODEL, GLM)[n % 2])
                answer = clients[thread % 2].chat(request)
                cost = price(answer.usage, Catalog.bundled().card(answer.model).price)
                assert cost is not None
                told.append((answer.id, cost.total))
        return told

    with ThreadPoolExecutor(16) as pool:
        told = dict(pair for pairs in pool.map(calls, range(16)) for pair in pairs)
    assert len(told) == 3200
    assert autolog.disable(120)
    run = written(tmp_path)
    for table in ("llm/calls", "llm/calls_final"):
        rows = run.table(table)
        assert len(rows) == 3200
        assert {row["response_id"]: Decimal(str(row["cost_usd"])) for row in rows} == told
        assert list(rows[0]) == list(COLUMNS)
    calls_logged = [row for row in run.history if "llm/error" in row]
    assert [row["llm/call"] for row in calls_logged] == list(range(1, 3201))
    assert sum(Decimal(str(row["llm/cost_usd"])) for row in calls_logged) == sum(told.values())
    assert run.summary["llm/calls_total"] == 3200
    assert run.summary["llm/cost_total_usd"] == float(sum(told.values()))
    assert sum(Decimal(str(cost)) for cost in run.summary["llm/cost_by_model"].values()) == sum(told.values())
    assert len([row for row in run.history if "llm/calls/path" in row]) <= 90
    assert run.config["llm_prices_usd_per_million"][MODEL]["input"] == 0.03
    assert run.config["mine"] == 1
    assert (run.record.project, run.record.display_name, run.record.job_type) == ("p", "n", "llm-autolog")
    assert run.exit_code == 0
    assert [artifact.type for artifact in run.artifacts if artifact.type == "llm-calls"] == ["llm-calls"]
    everything = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"You said" in data for data in everything)
    assert not any(KEY.encode() in data or KEY[:16].encode() in data for data in everything)
    assert [sink["errors"] for sink in autolog.stats()["sinks"]] == [0]
    assert list((tmp_path / "wandb").glob("llm-calls-*.jsonl")) == []  # the run has it, as an artifact


def test_every_end_is_a_row(emulator: Emulator, tmp_path: Path) -> None:
    autolog({"project": "p"})
    emulator.script(Reply("Fine"), Fault(status=401), Fault("cut", after=4), *[Fault("stall", after=4)] * 3)

    async def drop() -> None:
        async with AsyncClient(base_url=emulator.url, api_key=emulator.api_key) as client:
            task = asyncio.create_task(client.chat(ask("cancelled")))
            while len(emulator.requests) < 6:  # noqa: ASYNC110 (the emulator lives in another thread)
                await asyncio.sleep(0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    with Client(base_url=emulator.url, api_key=emulator.api_key, max_retries=0) as client:
        client.chat(ask("ok"))
        with suppress(InferenceError):
            client.chat(ask("error"))
        with suppress(InferenceError):
            list(client.stream(ask("partial")))
        with client.stream(ask("closed")) as stream:
            next(stream)
        stream = client.stream(ask("abandoned"))
        next(stream)
        del stream
        gc.collect()
        asyncio.run(drop())
        with suppress(InferenceError):
            client.chat(ask("refused before", max_tokens=10**9))
    assert autolog.disable(60)
    run = written(tmp_path)
    rows = {json.loads(row["messages"])[0]["content"]: row for row in run.table("llm/calls_final")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "ok": "ok",
        "error": "error",
        "partial": "partial",
        "closed": "cancelled",
        "abandoned": "cancelled",
        "cancelled": "cancelled",
        "refused before": "error",
    }
    assert rows["error"]["http_status"] == 401
    assert rows["partial"]["content"] or rows["partial"]["reasoning"]
    assert run.summary["llm/errors_total"] == 3


def test_langchain_over_litellm_logs_once(emulator: Emulator, tmp_path: Path) -> None:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415
    from langchain_core.messages import AIMessage, BaseMessage  # noqa: PLC0415
    from langchain_core.outputs import ChatGeneration, ChatResult  # noqa: PLC0415
    from langchain_core.runnables import RunnableLambda  # noqa: PLC0415

    class OverLiteLLM(BaseChatModel):
        """What ChatLiteLLM does."""

        @property
        def _llm_type(self) -> str:
            return "over-litellm"

        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            told = [{"role": "user", "content": message.text} for message in messages]
            answer = litellm.completion(
                model=f"wandb_inference/{MODEL}",
                messages=told,
                api_base=emulator.url,
                api_key=emulator.api_key,
                metadata={"session_id": "theirs", "tags": ["t"]},
            )
            return ChatResult(generations=[ChatGeneration(message=AIMessage(answer.choices[0].message.content))])

    register()
    autolog({"project": "p"})
    OverLiteLLM().invoke("over")
    model = ChatWandbInference(model=MODEL, base_url=emulator.url, api_key=emulator.api_key)
    config: Any = {"metadata": {"thread_id": "t1"}, "tags": ["rag"]}
    model.invoke("alone", config)
    list(model.stream("streamed", config))
    asyncio.run(model.ainvoke("later", config))

    async def astream() -> None:
        chain: Any = RunnableLambda(lambda text: text) | model
        [_ async for _ in chain.astream("astreamed", config)]

    asyncio.run(astream())
    model.batch(["b1", "b2"], config)
    assert autolog.disable(60)
    rows = {json.loads(row["messages"])[0]["content"]: row for row in written(tmp_path).table("llm/calls_final")}
    assert {name: row["entry"] for name, row in rows.items()} == {
        "over": "litellm",
        **dict.fromkeys(("alone", "streamed", "astreamed", "later", "b1", "b2"), "langchain"),
    }
    assert len(rows) == len(emulator.requests) == 7
    assert (rows["over"]["session_id"], json.loads(rows["over"]["tags"])) == ("theirs", {"t": ""})
    for name in ("alone", "streamed", "astreamed", "later", "b1"):
        assert (rows[name]["session_id"], json.loads(rows[name]["tags"])) == ("t1", {"rag": ""}), name
        assert rows[name]["parent_call_id"]
    assert rows["streamed"]["ttft_s"] > 0
    assert rows["streamed"]["cost_usd"] > 0


def test_the_program_s_own_run_keeps_every_row(emulator: Emulator, tmp_path: Path) -> None:
    with (
        wandb.init(project="theirs", dir=tmp_path) as theirs,
        Client(base_url=emulator.url, api_key="emulator-key") as c,
    ):
        autolog({"project": "ours"})
        for step in range(0, 50, 5):
            theirs.log({"loss": step}, step=step)
            c.chat(ask("Hello"))
            autolog.flush(30)
        assert autolog.disable(60)
        assert wandb.run is theirs
        theirs.log({"loss": 50}, step=50)
    runs = {run.record.project: run for run in read_runs(tmp_path)}
    assert [(row["_step"], row["loss"]) for row in runs["theirs"].history] == [(n, n) for n in range(0, 55, 5)]
    assert runs["theirs"].exit_code == 0
    assert len(runs["ours"].table("llm/calls_final")) == 10
    assert runs["ours"].record.run_group == theirs.id
    assert runs["ours"].config["parent_run_id"] == theirs.id


def test_a_run_that_is_handed_over_keeps_its_steps(emulator: Emulator, tmp_path: Path) -> None:
    with (
        wandb.init(project="theirs", dir=tmp_path) as theirs,
        Client(base_url=emulator.url, api_key="emulator-key") as c,
    ):
        autolog(run=theirs)
        assert autolog.flush(30)
        assert autolog.run is theirs
        for step in range(0, 50, 5):
            theirs.log({"loss": step}, step=step)
            c.chat(ask("Hello"))
            autolog.flush(30)
        assert autolog.disable(60)
        theirs.log({"loss": 50}, step=50)
    run = written(tmp_path)
    assert [(row["_step"], row["loss"]) for row in run.history] == [(n, n) for n in range(0, 55, 5)]
    assert len(run.table("llm/calls_final")) == 10
    assert run.summary["llm/calls_total"] == 10
    assert run.exit_code == 0


def test_what_a_call_says_is_in_its_row(emulator: Emulator, tmp_path: Path) -> None:
    function = {"name": "f", "description": "Does f.", "parameters": {"type": "object"}}
    emulator.script(Reply("", reasoning="hm", tool_calls=(ToolUse("f", {"a": 1}),)))
    autolog({"project": "p"}, tags={"app": "x"})
    with Client(base_url=emulator.url, api_key="emulator-key") as client, labels(tags=["y"]):
        client.chat(ask("Go", tools=[{"type": "function", "function": function}], temperature=0.5, seed=7))
    assert autolog.disable(60)
    (row,) = written(tmp_path).table("llm/calls_final")
    assert json.loads(json.loads(row["tool_calls"])[0]["arguments"]) == {"a": 1}
    assert json.loads(row["tools"])[0]["function"] == function
    assert (row["reasoning"], row["finish_reason"]) == ("hm", "tool_calls")
    assert json.loads(row["params"]) == {"temperature": 0.5, "seed": 7}
    assert json.loads(row["tags"]) == {"app": "x", "y": ""}
    assert json.loads(row["need"])["tools"] == 1
    assert row["redaction"] == "full"
    assert row["reasoning_tokens"] > 0


def test_increments_stay_few_and_lose_nothing(tmp_path: Path) -> None:
    from wandb_inference._autolog.options import Options  # noqa: PLC0415
    from wandb_inference._autolog.run import RunSink  # noqa: PLC0415

    spool = tmp_path / "s.jsonl"
    rows = [{"schema": 1, "call_id": str(n), "status": "ok", "content": "x"} for n in range(3000)]
    spool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = Options(init={"project": "p"}, folder=tmp_path, flush_rows=1, flush_seconds=1e-9, max_increments=20)
    sink = RunSink(options, spool)
    sink.open()
    for row in rows:
        sink.write(row)
    sink.close()
    run = written(tmp_path)
    assert 10 < len([row for row in run.history if "llm/calls/path" in row]) <= 21
    assert [row["call_id"] for row in run.table("llm/calls")] == [row["call_id"] for row in rows]
    assert len(run.table("llm/calls_final")) == 3000


def test_weave_is_not_switched_on(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.integration import weave  # noqa: PLC0415

    tried: list[Any] = []
    monkeypatch.setattr(weave.weave, "_weave_init", tried.append, raising=False)
    monkeypatch.setitem(sys.modules, "weave", ModuleType("weave"))
    autolog({"project": "p"})
    assert autolog.flush(30)
    assert tried == []
    assert "WANDB_DISABLE_WEAVE" not in os.environ
    assert autolog.disable(60)
    with wandb.init(project="theirs", dir=tmp_path):
        assert tried == ["theirs"]  # what the program does itself is its own


def test_called_again_it_begins_anew(emulator: Emulator, tmp_path: Path) -> None:
    with Client(base_url=emulator.url, api_key="emulator-key") as client:
        for project in ("a", "b"):
            autolog({"project": project})
            client.chat(ChatRequest(MODEL, [{"role": "user", "content": project}]))
        autolog.disable(60)
        client.chat(ask("unlogged"))
    rows = {run.record.project: run.table("llm/calls_final") for run in read_runs(tmp_path)}
    assert {project: [json.loads(r["messages"])[0]["content"] for r in each] for project, each in rows.items()} == {
        "a": ["a"],
        "b": ["b"],
    }
    assert not autolog.enabled
