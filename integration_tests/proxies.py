"""Processes that the integration tests start: LiteLLM proxies, and the Redis that they share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_urlsafe

import httpx
import pytest

from wandb_inference.emulator import Emulator

MASTER = "sk-Xk29fjQ0zPw83mNt71LsVa"  # the proxy refuses weak ones; it opens nothing
START_SECONDS = 120

_BILLING = """import json
from litellm.integrations.custom_logger import CustomLogger


class Bills(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        row = kwargs["standard_logging_object"]
        kept = {{name: row[name] for name in ("prompt_tokens", "completion_tokens", "response_cost", "stream")}}
        with open({path!r}, "a") as file:
            file.write(json.dumps(kept) + "\\n")


handler = Bills()
"""  # what an operator of a proxy writes to see what calls cost

needs_proxy = pytest.mark.skipif(
    not all(map(find_spec, ("apscheduler", "fastapi"))), reason="no litellm[proxy]: make integration_tests installs it"
)
needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server: apt install redis-server")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def litellm_proxy(
    behind: Emulator,
    folder: Path,
    *models: str,
    told: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    bills: Path | None = None,
) -> Iterator[str]:
    """Run a proxy on our own configuration of these models, and yield its address; it logs calls to ``bills``."""
    bin_, port = Path(sys.executable).parent, free_port()
    named = [word for model in models for word in ("--model", model)]
    command: list[str | Path] = [bin_ / "wandb-inference", "litellm-config", *named, "--api-base", behind.url, *told]
    config = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 (our own command)
    if bills is not None:
        (folder / "billing.py").write_text(_BILLING.format(path=str(bills)))
        config = config.replace("litellm_settings:", "litellm_settings:\n  callbacks: [billing.handler]")
    (folder / "config.yaml").write_text(config)
    env = {**os.environ, **(environment or {}), "WANDB_API_KEY": behind.api_key, "LITELLM_MASTER_KEY": MASTER}
    arguments = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    with running([bin_ / "litellm", *arguments], folder / "log", env, lambda: proxy_answers(port)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a Redis that keeps nothing, and yield its ``host:port`` and its password."""
    port, password = free_port(), token_urlsafe()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with running([*arguments, "--requirepass", password], folder / "log", dict(os.environ), lambda: _listens(port)):
        yield f"127.0.0.1:{port}", password


@contextmanager
def running(
    arguments: Sequence[str | Path], log: Path, env: dict[str, str], ready: Callable[[], bool]
) -> Iterator[None]:
    """Run a program until the block ends, from when it is ready."""
    with (
        log.open("wb") as out,
        subprocess.Popen(arguments, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True) as process,  # noqa: S603 (as above)
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # and what it has started


def proxy_answers(port: int) -> bool:
    """Whether a proxy on that port takes calls."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).is_success
    except httpx.HTTPError:
        return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
