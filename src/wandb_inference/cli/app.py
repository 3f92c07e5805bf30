"""The commands. Each is a short function; what they show is put together in the rooms below."""

from __future__ import annotations

import io
import json
import sys
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console

from wandb_inference import (
    Catalog,
    ChatOptions,
    ChatRequest,
    Client,
    ConfigurationError,
    InferenceError,
    ReasoningDelta,
    RefusalDelta,
    Settings,
    StreamEnd,
    TextDelta,
    __version__,
    price,
)
from wandb_inference.cli import models, route
from wandb_inference.cli.lint import lint
from wandb_inference.cli.options import AsJson, Context, Reasoning, Tools, Vision, able, clean
from wandb_inference.cli.usage import usage
from wandb_inference.litellm import deployments, proxy_config

app = typer.Typer(
    name="wandb-inference",
    help="W&B Inference (CoreWeave Serverless Inference) from the command line.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold keys
    add_completion=False,
)
app.add_typer(models.app, name="models")
app.add_typer(route.app, name="route")
app.command()(lint)
app.command()(usage)
DEFAULT_MODEL = "openai/gpt-oss-20b"

Model = Annotated[str, typer.Option("--model", "-m", help="Model id or alias; `wandb-inference models` lists them.")]


def run() -> None:
    """Run the command line; our own errors end it with their message and status 1, not with a traceback."""
    for stream in (sys.stdout, sys.stderr):  # whatever a pipe of Windows can show: an answer was paid for
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InferenceError as e:
        Console(stderr=True).print(f"wandb-inference: {clean(str(e))}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except OSError as e:
        if e.filename is not None:
            sys.exit(f"wandb-inference: {clean(str(e.filename))}: {e.strerror}.")
        sys.stdout = None  # what we write to is gone (a pipe that was closed) or full
        sys.exit(f"wandb-inference: cannot write: {e.strerror}.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wandb-inference {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def chat(  # one option a switch
    prompt: Annotated[str | None, typer.Argument(help="What to ask; without it, standard input is read.")] = None,
    *,
    model: Model = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Ceiling for the answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is the least random.")] = None,
    reasoning: Annotated[str | None, typer.Option(help="on, off, or an effort such as low.")] = None,
    review: Annotated[
        Literal["strict", "warn", "off"], typer.Option(help="Of the call, before it is sent.")
    ] = "strict",
    as_json: AsJson = False,
) -> None:
    """Ask a model and stream its answer; reasoning goes to standard error."""
    if prompt is None and sys.stdin.isatty():
        prompt = ""
    asked = sys.stdin.read() if prompt is None else prompt
    if not asked.strip():
        raise ConfigurationError("Nothing to ask.", hint="Give a prompt, or pipe one in.")
    messages = [{"role": "system", "content": system}] if system else []
    switch: bool | str | None = {"on": True, "off": False}.get(reasoning or "", reasoning)
    options = ChatOptions(max_tokens=max_tokens, temperature=temperature, reasoning=switch)
    request = ChatRequest(model, [*messages, {"role": "user", "content": asked}], options)
    with Client(review=review) as client:
        if as_json:
            typer.echo(json.dumps(_answer(client, request), ensure_ascii=False, indent=2))
        else:
            _stream(client, request)


def _answer(client: Client, request: ChatRequest) -> dict[str, Any]:
    completion = client.chat(request)
    card = client.catalog.get(request.model)
    cost = price(completion.usage, card.price if card else None)
    usage = completion.usage
    return {
        "model": completion.model,
        "text": completion.text,
        "reasoning": completion.reasoning,
        "refusal": completion.choices[0].refusal,
        "finish_reason": completion.finish_reason,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cost_usd": str(cost.total) if cost else None,
    }


def _stream(client: Client, request: ChatRequest) -> None:
    aside = Console(stderr=True, highlight=False)
    thinking = False
    try:
        with client.stream(request) as stream:
            for event in stream:
                if isinstance(event, ReasoningDelta):
                    thinking = True
                    aside.print(event.text, end="", style="dim", markup=False, soft_wrap=True)
                elif isinstance(event, TextDelta | RefusalDelta):
                    if thinking:
                        aside.print()
                        thinking = False
                    typer.echo(event.text, nl=False)
                elif isinstance(event, StreamEnd) and event.finish_reason == "length":
                    aside.print("\n[the answer was cut: raise --max-tokens]", style="yellow", markup=False)
    finally:
        typer.echo()  # whatever ended it, the next line begins at its beginning


@app.command()
def demo(
    *,
    model: Model = DEFAULT_MODEL,
    emulator: Annotated[bool, typer.Option("--emulator", help="Use the emulator although there is a key.")] = False,
) -> None:
    """Show the main job through LangChain: a streamed chain, a tool loop, structured output, the bill."""
    try:
        from wandb_inference.cli.demo import show  # noqa: PLC0415 (needs two more extras)
    except ImportError as e:
        raise ConfigurationError(f"{e}.", hint="The demo needs both: 'wandb-inference[langchain,emulator]'.") from e
    show(model, force_emulator=emulator)


@app.command()
def emulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    api_key: Annotated[str, typer.Option(help="The key it accepts.")] = "emulator-key",
    token_delay: Annotated[float, typer.Option(min=0, help="Seconds between two events of a stream.")] = 0.0,
    max_in_flight: Annotated[int | None, typer.Option(min=1, help="Calls a model takes at a time.")] = None,
    chaos: Annotated[float, typer.Option(min=0, max=1, help="Share of the requests that fail.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the chaos.")] = 0,
) -> None:
    """Serve a local stand-in for W&B Inference until interrupted."""
    try:
        from wandb_inference.emulator import Chaos, Emulator  # noqa: PLC0415 (needs an extra)
    except ImportError as e:
        raise ConfigurationError(str(e)) from e
    server = Emulator(
        host=host,
        port=port,
        api_key=api_key,
        token_delay=token_delay,
        max_in_flight=max_in_flight,
        chaos=Chaos(seed, chaos) if chaos else None,
    )
    try:
        server.serve(lambda url: typer.echo(f"export WANDB_INFERENCE_BASE_URL={url} WANDB_API_KEY={api_key}"))
    except OSError as e:
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {e.strerror}.", hint="Choose another --port.") from e


@app.command()
def litellm_config(
    *,
    named: Annotated[
        list[str] | None, typer.Option("--model", "--models", "-m", help="Only these: a,b or repeated.")
    ] = None,
    vision: Vision = False,
    tools: Tools = False,
    reasoning: Reasoning = False,
    context: Context = 0,
    families: Annotated[bool, typer.Option("--families", help="A group for each family, too.")] = False,
    project: Annotated[str | None, typer.Option(help="team/project to account the calls to.")] = None,
    api_base: Annotated[str | None, typer.Option(help="Another server than the service.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Calls a minute to each model, over all proxies.")] = None,
    fallback_price: Annotated[
        float,
        typer.Option(min=0, help="What fallbacks may cost, in times the model's own prices: 0 for none, inf for any."),
    ] = 1.0,
    redis: Annotated[
        str | None, typer.Option(help="host:port in which proxies share counters; password in REDIS_PASSWORD.")
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Keep answers, in the Redis if there is one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a LiteLLM proxy's config.yaml for the catalog's models; its key comes from WANDB_API_KEY."""
    catalog = Catalog.bundled()
    Settings.resolve(api_key="unused", project=project, base_url=api_base)  # says what is wrong with either
    names = [name.strip() for word in named or () for name in word.split(",")]
    cards = [catalog.card(name) for name in names] if names else [c for c in catalog if c.status == "active"]
    chosen = [card.id for card in able(cards, vision=vision, tools=tools, reasoning=reasoning, context=context)]
    if not chosen:
        raise ConfigurationError("No such model of the catalog is like that.", hint="See `wandb-inference models`.")
    given = {"api_key": "os.environ/WANDB_API_KEY", "project": project, "api_base": api_base, "rpm": rpm}
    params: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    router = deployments(models=chosen, families=families, fallback_price=fallback_price, **params)
    config = proxy_config(router, redis=redis, cache=cache)
    typer.echo(json.dumps(config, indent=2) if as_json else yaml.safe_dump(config, sort_keys=False).rstrip())
