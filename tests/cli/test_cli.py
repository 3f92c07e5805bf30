"""The command line as a user runs it: a process, its output, its status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from wandb_inference import Catalog, ChatOptions, ChatRequest, Client, ModelCard
from wandb_inference.emulator import Emulator, Fault, Reply

COMMAND = [sys.executable, "-c", "from wandb_inference.cli import main; main()"]


def run(
    *arguments: str, emulator: Emulator | None = None, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    settings = {"WANDB_INFERENCE_BASE_URL": emulator.url, "WANDB_API_KEY": emulator.api_key} if emulator else {}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **settings, **env},
    )


def test_help_and_version() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in ("models", "chat", "demo", "emulate"))
    assert re.fullmatch(r"wandb-inference \d+\.\d+\.\d+\n", run("--version").stdout)


def test_models() -> None:
    table = run("models")
    assert table.returncode == 0
    assert "deepseek-ai/DeepSeek-V4.1-Flash" in table.stdout
    assert "20 models" in table.stdout
    assert "49 models" in run("models", "--all").stdout


@pytest.mark.parametrize(
    ("filters", "inside", "outside"),
    [
        (["--vision"], "Qwen/Qwen3.8-27B", "openai/gpt-oss-20b"),
        (["--reasoning"], "openai/gpt-oss-20b", "meta-llama/Llama-3.1-8B-Instruct"),
        (["--context", "1000000"], "zai-org/GLM-5.2", "openai/gpt-oss-20b"),
        (["gpt", "120"], "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        (["--tools"], "openai/gpt-oss-20b", "zai-org/GLM-4.5"),
        (["--all", "GLM"], "zai-org/GLM-4.5", "openai/gpt-oss-20b"),
    ],
)
def test_model_filters(filters: list[str], inside: str, outside: str) -> None:
    ids = [row["id"] for row in json.loads(run("models", "--json", *filters).stdout)]
    assert inside in ids
    assert outside not in ids


def test_model_rows_hold_exact_prices() -> None:
    (row,) = json.loads(run("models", "--json", "gpt-oss-20b").stdout)
    assert row["price"] == {"input": "0.03", "output": "0.13", "cached_input": "0.03"}
    assert row["checked"] == "2026-10-07"


def test_chat_streams_the_answer_and_keeps_reasoning_apart(emulator: Emulator) -> None:
    emulator.script(Reply("Salut [bold]🙂", "I think."))
    shown = run("chat", "Hello", emulator=emulator)
    assert (shown.returncode, shown.stdout) == (0, "Salut [bold]🙂\n")
    assert "I think." in shown.stderr


def test_chat_options(emulator: Emulator) -> None:
    options = ["--model", "gpt-oss-120b", "--system", "Be brief.", "--max-tokens", "50", "--temperature", "0"]
    run("chat", *options, "--reasoning", "low", emulator=emulator, stdin="from a pipe")
    (seen,) = emulator.requests
    body = seen.json()
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "from a pipe"}]
    expected = {"model": "openai/gpt-oss-120b", "max_tokens": 50, "temperature": 0, "reasoning_effort": "low"}
    assert {key: body[key] for key in expected} == expected


def test_chat_json(emulator: Emulator) -> None:
    answer = json.loads(run("chat", "--json", "Hello", emulator=emulator).stdout)
    assert answer["text"] == "You said: Hello"
    assert answer["finish_reason"] == "stop"
    assert re.fullmatch(r"0\.0000\d+", answer["cost_usd"])


def test_a_cut_answer_is_told(emulator: Emulator) -> None:
    shown = run("chat", "Hello", "--max-tokens", "3", emulator=emulator)
    assert "raise --max-tokens" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["chat", "x"], {"WANDB_API_KEY": "wrong"}, "Check the key"),
        (["chat", "x", "--model", "Qwen/Qwen3.6-27B"], {}, "Use Qwen/Qwen3.8-27B instead"),
        (["chat", "x", "--model", "gpt-oss-20"], {}, "Did you mean 'openai/gpt-oss-20b'"),
        (["chat", "x"], {"WANDB_INFERENCE_BASE_URL": "http://127.0.0.1:9/v1"}, "Cannot connect to 127.0.0.1:9"),
        (["chat", "x"], {"WANDB_API_KEY": ""}, "WANDB_API_KEY together with WANDB_INFERENCE_BASE_URL"),
        (["chat", " "], {}, "Nothing to ask"),
        (["chat", "x"], {"WANDB_INFERENCE_PROJECT": "alone"}, "'team/project'"),
    ],
)
def test_errors_are_a_message_not_a_traceback(
    arguments: list[str], env: dict[str, str], words: str, emulator: Emulator
) -> None:
    shown = run(*arguments, emulator=emulator, **env)
    assert shown.returncode == 1
    assert words in shown.stderr.replace("\n", " ")
    assert "Traceback" not in shown.stderr + shown.stdout


def test_a_broken_stream_shows_what_arrived_and_fails(emulator: Emulator) -> None:
    emulator.script(Fault("cut", after=14))
    shown = run("chat", "Hello", emulator=emulator)
    assert shown.returncode == 1
    assert "ended before the answer did" in shown.stderr.replace("\n", " ")


def test_an_unreviewed_call_is_the_services_to_refuse(emulator: Emulator) -> None:
    assert "review='off'" in run("chat", "x", "--max-tokens", "1000000", emulator=emulator).stderr
    assert emulator.requests == ()
    shown = run("chat", "x", "--max-tokens", "1000000", "--review", "off", emulator=emulator)
    assert "HTTP 400" in shown.stderr
    assert len(emulator.requests) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_a_message_too(emulator: Emulator) -> None:
    with Path("/dev/full").open("w") as full:
        env = {**os.environ, "WANDB_INFERENCE_BASE_URL": emulator.url, "WANDB_API_KEY": emulator.api_key}
        process = subprocess.run(
            [*COMMAND, "chat", "x"], stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False
        )
    assert process.returncode == 1
    assert "cannot write: No space left" in process.stderr
    assert "Traceback" not in process.stderr


def test_ctrl_c_ends_a_stream_without_a_traceback() -> None:
    # A shell's background job, such as CI may be, ignores the signal, and its children with it.
    obey = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{obey}; from wandb_inference.cli import main; main()", "chat", "x " * 50]
    slow = Emulator(token_delay=0.2)
    with slow as url:
        env = {**os.environ, "WANDB_INFERENCE_BASE_URL": url, "WANDB_API_KEY": slow.api_key, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
            while not slow.requests:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in errors


def parts(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stderr
    titles = ["1. A chain, streamed", "2. An agent with a tool", "3. Structured output", "4. Tokens and cost"]
    places = [shown.stdout.index(title) for title in titles]
    assert places == sorted(places)
    assert "You said: Why do programs have names?" in shown.stdout
    assert "calls get_weather(city='Paris')" in shown.stdout
    assert "The tool says: It is sunny in Paris" in shown.stdout
    assert "Movie(title='Metropolis', year=1927" in shown.stdout
    (total,) = re.findall(r"│ 4 calls +│ +(\d+) │ +│ +(\d+) │ +│ (0\.\d{8}) │", shown.stdout)
    assert all(float(number) > 0 for number in total)


def test_demo_on_the_emulator() -> None:
    shown = run("demo", WANDB_API_KEY="")
    parts(shown)
    assert "on the local emulator" in shown.stdout
    assert "No model answers here" in shown.stdout


def test_demo_with_a_key_goes_where_the_key_belongs(emulator: Emulator) -> None:
    shown = run("demo", emulator=emulator)
    parts(shown)
    assert f"at {emulator.url}" in shown.stdout
    assert "emulator" not in shown.stdout
    assert len(emulator.requests) == 4
    assert "on the local emulator" in run("demo", "--emulator", emulator=emulator).stdout
    assert len(emulator.requests) == 4


def test_emulate() -> None:
    arguments = ["emulate", "--port", "0", "--api-key", "mine"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            export, *pairs = process.stdout.readline().split()
            assert export == "export"
            settings = dict(pair.split("=", 1) for pair in pairs)
            with Client(base_url=settings["WANDB_INFERENCE_BASE_URL"], api_key=settings["WANDB_API_KEY"]) as client:
                turns = [{"role": "user", "content": "Hi"}]
                answer = client.chat(ChatRequest("openai/gpt-oss-20b", turns, ChatOptions(max_tokens=50)))
                assert answer.text == "You said: Hi"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) in (0, 130)
        finally:
            process.kill()  # or a failure would wait for it


def test_litellm_config() -> None:
    shown = run(
        "litellm-config", "--model", "gpt-oss-20b", "--model", "zai-org/GLM-5.2", "--redis", "127.0.0.1:7000", "--cache"
    )
    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)
    first, second = config["model_list"]
    assert first["litellm_params"]["model"] == "wandb_inference/openai/gpt-oss-20b"
    assert first["litellm_params"]["api_key"] == "os.environ/WANDB_API_KEY"
    assert first["model_info"]["input_cost_per_token"] == 3e-08
    assert second["model_name"] == "zai-org/GLM-5.2"
    assert config["router_settings"]["redis_port"] == config["litellm_settings"]["cache_params"]["port"] == 7000
    assert "context_window_fallbacks" not in config["router_settings"]  # GLM-5.2 is dearer
    dearer = run("litellm-config", "-m", "gpt-oss-20b,zai-org/GLM-5.2", "--fallback-price", "inf", "--json")
    fallbacks = json.loads(dearer.stdout)["router_settings"]["context_window_fallbacks"]
    assert fallbacks == [{"openai/gpt-oss-20b": ["zai-org/GLM-5.2"]}]
    assert run("litellm-config", "--model", "gpt-oss-2b").returncode == 1


@pytest.mark.parametrize(
    ("filters", "able"),
    [
        (["--vision", "--tools"], lambda card: card.accepts("image") and card.tools),
        (["--context", "500000"], lambda card: (card.context_window or 0) >= 500_000),
        (["--reasoning"], lambda card: card.reasoning.mode in ("always", "switchable")),
    ],
)
def test_litellm_config_of_models_that_can(filters: list[str], able: Callable[[ModelCard], bool]) -> None:
    config = json.loads(run("litellm-config", "--json", *filters).stdout)
    wanted = [card.id for card in Catalog.bundled() if card.status == "active" and able(card)]
    assert [entry["model_name"] for entry in config["model_list"]] == wanted
    assert run("litellm-config", "-m", "gpt-oss-20b", "--vision").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--redis", "user:secret@h:6379"], "redis= is no host:port"),
        (["--redis", "localhost:abc"], "redis= is no host:port"),
        (["--project", "nope"], "team/project"),
        (["--api-base", "localhost:8765"], "http"),
        (["-m", "moonshotai/Kimi-K2-Instruct"], "is not served any more"),
    ],
)
def test_litellm_config_refuses_what_would_fail(arguments: list[str], problem: str) -> None:
    shown = run("litellm-config", *arguments)
    assert shown.returncode == 1
    assert problem in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "secret" not in shown.stderr


def test_litellm_config_keeps_answers_only_when_told() -> None:
    shared = run("litellm-config", "-m", "gpt-oss-20b,gpt-oss-120b", "--json", "--redis", "redis://10.0.0.1")
    config = json.loads(shared.stdout)
    assert len(config["model_list"]) == 2
    assert config["router_settings"]["redis_host"] == "10.0.0.1"
    assert "cache" not in config["litellm_settings"]
    alone = json.loads(run("litellm-config", "-m", "gpt-oss-20b", "--json", "--cache").stdout)
    assert alone["litellm_settings"]["cache_params"] == {"type": "local"}


def test_the_example_of_a_proxy_has_the_configuration_of_today() -> None:
    config = (Path(__file__).parents[2] / "examples" / "litellm_proxy" / "config.yaml").read_text()
    command, _, rest = config.partition("\n")
    made = run(*command.removeprefix("# wandb-inference ").split())
    assert made.stdout == rest, f"stale: {command[2:]} > config.yaml, below that line"


def test_emulate_on_a_taken_port(emulator: Emulator) -> None:
    port = emulator.url.split(":")[2].split("/")[0]
    shown = run("emulate", "--port", port)
    assert shown.returncode == 1
    assert "Choose another --port" in shown.stderr.replace("\n", " ")


def test_the_installed_command_is_this_one() -> None:
    script = Path(sys.executable).parent / "wandb-inference"
    assert subprocess.run([script, "--version"], capture_output=True, check=True).stdout.startswith(b"wandb-inference ")


# Choosing models


def test_models_filtered_and_sorted() -> None:
    cards = json.loads(
        run("models", "--context", "200k", "--max-output-price", "1", "--sort", "price", "--json").stdout
    )
    sums = [float(card["price"]["input"]) + float(card["price"]["output"]) for card in cards]
    assert sums == sorted(sums)
    assert cards
    assert all(card["context_window"] >= 200_000 and float(card["price"]["output"]) <= 1 for card in cards)
    assert run("models", "--context", "much").returncode == 2
    assert run("models", "--max-output-price", "cheap").returncode == 2


def test_models_show_and_compare() -> None:
    shown = run("models", "show", "glm-5.2").stdout
    assert "1,048,576" in shown
    assert "not price.input" in shown  # what others say
    assert json.loads(run("models", "show", "glm-5.2", "--json").stdout)["id"] == "zai-org/GLM-5.2"
    compared = run("models", "compare", "gpt-oss-20b", "glm-5.2").stdout
    assert "openai/gpt-oss-20b" in compared
    assert "zai-org/GLM-5.2" in compared
    wrong = run("models", "show", "gpt-oss-20")
    assert wrong.returncode == 1
    assert "Did you mean" in wrong.stderr


def test_models_refresh(tmp_path: Path) -> None:
    changed = Catalog.bundled().with_overrides({"model": [{"id": "openai/gpt-oss-20b", "context_window": 262144}]})
    emulator = Emulator(catalog=changed)
    with emulator as url:
        root = url.removesuffix("/v1")
        feeds = ["--feeds", f"{root}/inference/modelsdev/models", f"{root}/inference/catalog/models"]
        dry = run("models", "refresh", "--dry-run", *feeds, XDG_CACHE_HOME=str(tmp_path))
        assert "openai/gpt-oss-20b: context_window 131,072 -> 262,144" in dry.stdout
        assert not list(tmp_path.iterdir())
        told = json.loads(run("models", "refresh", "--json", *feeds, XDG_CACHE_HOME=str(tmp_path)).stdout)
        assert [change["after"] for change in told["changed"]] == ["262144"]
    unread = run("models", "refresh", "--feeds", "http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    assert unread.returncode == 1
    assert unread.stderr.count("cannot be read") == 2
    offline = run("models", "refresh", *feeds, XDG_CACHE_HOME=str(tmp_path))
    assert "262,144" in offline.stdout
    assert "using the copy of" in offline.stderr


IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def test_route_explain(tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": [IMAGE]}], "max_tokens": 100}
    shown = run("route", "explain", "-", stdin=json.dumps(body))
    assert shown.returncode == 0, shown.stderr
    assert "input_modality: messages[0].content[0] is image input" in shown.stdout
    assert all(card.id in shown.stdout for card in Catalog.bundled() if card.servable)
    (tmp_path / "call.json").write_text(json.dumps({**body, "model": "auto:cheapest"}))
    plan = json.loads(run("route", "explain", str(tmp_path / "call.json"), "--json").stdout)
    assert (plan["requested"], plan["policy"]) == ("auto:cheapest", "cheapest")
    assert Catalog.bundled().card(plan["chosen"]).accepts("image")
    dear = run("route", "explain", "-", "--max-cost", "0.0000001", stdin=json.dumps(body))
    assert dear.returncode == 1
    assert "no model may take this call" in dear.stdout
    for wrong in ("no JSON", "[]", "{}", '{"messages": "x"}'):
        refused = run("route", "explain", "-", stdin=wrong)
        assert refused.returncode == 1
        assert "is no body of a call" in refused.stderr
    assert run("route", "explain", str(tmp_path / "none.json")).returncode == 1
    hello = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
    listed = json.loads(run("route", "explain", "-", "-m", "gpt-oss-20b,glm-5.2", "--json", stdin=hello).stdout)
    assert listed["order"] == ["openai/gpt-oss-20b", "zai-org/GLM-5.2"]
    assert "Did you mean" in run("route", "explain", "-", "-m", "gpt-oss-20", stdin=hello).stderr
    for field in ('"max_tokens": "many"', '"response_format": "json"', '"tools": [5]'):
        refused = run("route", "explain", "-", stdin=f'{{"messages": [], {field}}}')
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_route_simulate(kind: str, tmp_path: Path) -> None:
    log, picture = tmp_path / "log.jsonl", tmp_path / f"picture.{kind}"
    usage = {"input_tokens": 1000, "output_tokens": 100}
    rows = [{"model": "zai-org/GLM-5.2", "usage": usage, "request": {"messages": []}}] * 3
    rows.append({**rows[0], "request": {"messages": [{"role": "user", "content": [IMAGE]}]}})
    log.write_text("\n".join(map(json.dumps, rows)))
    asked = ["--models", "gpt-oss-20b,zai-org/GLM-5.2", "--policy", "cheapest"]
    shown = run("route", "simulate", str(log), *asked, "--plot", str(picture))
    assert shown.returncode == 0, shown.stderr
    assert "1 input_modality" in shown.stdout
    assert "0.000129" in shown.stdout  # three calls on gpt-oss-20b
    start = {"svg": b"<?xml", "png": b"\x89PNG"}[kind]
    assert picture.read_bytes().startswith(start)
    told = json.loads(run("route", "simulate", str(log), *asked, "--json").stdout)
    assert [row["name"] for row in told] == ["as recorded", "openai/gpt-oss-20b", "zai-org/GLM-5.2", "cheapest"]
    assert run("route", "simulate", str(log), "--policy", "best").returncode == 1
    assert run("route", "simulate", str(log), "--plot", str(tmp_path / "x.pdf")).returncode == 1


def test_lint(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text('x = 1\nmodel = "Qwen/Qwen3.6-27B"\n')
    (tmp_path / "data.bin").write_bytes(b"\0Qwen/Qwen3.6-27B")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "lib.py").write_text("Qwen/Qwen3.6-27B")
    (tmp_path / "good.yaml").write_text("model: openai/gpt-oss-20b")
    shown = run("lint", str(tmp_path))
    assert shown.returncode == 1
    (line,) = shown.stdout.splitlines()
    assert line.startswith(f"{tmp_path / 'app.py'}:2:10: Qwen/Qwen3.6-27B was retired")
    assert line.endswith("use Qwen/Qwen3.8-27B")
    (row,) = json.loads(run("lint", str(tmp_path), "--json").stdout)
    assert (row["line"], row["replacement"]) == (2, "Qwen/Qwen3.8-27B")
    assert run("lint", str(tmp_path / "good.yaml")).returncode == 0
    missing = run("lint", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert "There is no file" in missing.stderr


PRINTED = {
    "the models": ["models"],
    "one of them": ["models", "show", "openai/gpt-oss-20b"],
    "an answer": ["chat", "Gr\u00fc\u00dfe \u2192 \u65e5\u672c"],
}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("name", PRINTED)
def test_what_a_pipe_cannot_show_breaks_no_answer(name: str, encoding: str, emulator: Emulator) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    env |= {"WANDB_API_KEY": emulator.api_key, "WANDB_INFERENCE_BASE_URL": emulator.url}
    ran = subprocess.run([*COMMAND, *PRINTED[name]], capture_output=True, env=env, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert ran.stdout.strip()
