"""llama.cpp's own HTTP server, from the package ``xllamacpp``, in a process of its own: a server that none of us wrote.

Its model has one million parameters and knows some forty prompts: judge the form of its answers, not their text. It
closes a connection after every stream, without saying so.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxies import running

MODEL, KEY = "tiny", "test-key"
SLOTS, WINDOW = 2, 2048
"""Calls that it works on at a time, and tokens that each of them has room for."""
ENDLESS: dict[str, Any] = {"max_tokens": 1_000_000, "extra_body": {"ignore_eos": True}}
"""Options of a call that is over only when its caller leaves: the window shifts, and takes all of these tokens."""
PATIENCE = 20.0
"""Seconds after which something that happens at once does not happen; an endless answer takes ten times as long."""

_READY = re.compile(r"^process (\d+) listens on (http://\S+)$", re.MULTILINE)
_TOKENS = re.compile(r"^llamacpp:(?:prompt_tokens|prompt_tokens_cached|tokens_predicted)_total (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A llama-server that runs."""

    origin: str
    pid: int

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"{self.origin}/v1"

    def events(self, **body: Any) -> list[Any]:
        """Return what it streams, read past all that is tested here."""
        lines = self._send("POST", "/v1/chat/completions", json={"model": MODEL, "stream": True, **body}).text.split(
            "\n"
        )
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]

    def whole(self, **body: Any) -> Any:
        """Return what it answers, read past all that is tested here."""
        return self._send("POST", "/v1/chat/completions", json={"model": MODEL, **body}).json()

    def tokens(self) -> int:
        """Return how many tokens it has read and written since it runs."""
        return sum(map(int, _TOKENS.findall(self._send("GET", "/metrics").text)))

    def busy(self) -> int:
        """Return how many calls it works on."""
        return sum(slot["is_processing"] for slot in self._send("GET", "/slots").json())

    def becomes(self, *, busy: int) -> bool:
        """Return whether it works on that many calls, at the latest after some patience."""
        deadline, pause = time.monotonic() + PATIENCE, 0.02
        while self.busy() != busy:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            # It looks whether the caller of a whole answer is still there in every second without another request.
            pause = min(2 * pause, 1.5)
        return True

    def _send(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = httpx.request(method, f"{self.origin}{path}", headers=headers, timeout=60, **given)
        return answer.raise_for_status()


@contextmanager
def llama_server(folder: Path, *, slots: int = SLOTS) -> Iterator[Server]:
    """Run one until the block ends, with slots for so many calls at a time."""
    log = folder / "llama-server.log"

    def ready() -> re.Match[str] | None:
        return _READY.search(log.read_text(errors="replace"))

    with running([sys.executable, __file__, str(slots)], log, dict(os.environ), lambda: ready() is not None):
        found = ready()
        assert found
        yield Server(found[2], int(found[1]))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The llama-server of this run."""
    if find_spec("xllamacpp") is None:
        pytest.skip("no xllamacpp, which is llama.cpp's server: make integration_tests installs it")
    with llama_server(tmp_path_factory.mktemp("llama")) as server:
        yield server


class Relay:
    """Passes on what a server and its callers send, and counts it.

    Args:
        server: where it passes it on to.
    """

    def __init__(self, server: Server) -> None:
        self.connections = self.requests = self.closed = 0
        """What callers have opened and sent, and what the server has closed of it."""
        self._port = int(server.origin.rpartition(":")[2])
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=300)
        self._changed = threading.Condition()
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def closes(self, number: int) -> bool:
        """Return whether the server has closed that many connections, at the latest after some patience."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closed >= number, PATIENCE)

    def run(self) -> None:
        """Pass on until it is closed."""
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._port))
                for work in (self._out, self._back):
                    threading.Thread(target=work, args=(caller, server), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _out(self, caller: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := caller.recv(65536):
                self.requests += piece.startswith(b"POST ")  # a caller that waits for its answer begins a piece with it
                server.sendall(piece)
            server.shutdown(socket.SHUT_RDWR)

    def _back(self, caller: socket.socket, server: socket.socket) -> None:
        with caller, server, suppress(OSError):
            while piece := server.recv(65536):
                caller.sendall(piece)
            caller.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self.closed += 1
            self._changed.notify_all()


@pytest.fixture
def relay(llama: Server) -> Iterator[Relay]:
    """A relay in front of the llama-server."""
    relay = Relay(llama)
    thread = threading.Thread(target=relay.run)
    thread.start()
    yield relay
    relay.close()
    thread.join()


def serve(slots: int) -> None:
    """Serve until whoever started this has ended."""
    xllamacpp: Any = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(__file__).parent / "data" / "tiny.gguf")
    params.model_alias, params.api_keys = {MODEL}, [KEY]
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.n_gpu_layers = WINDOW * slots, slots, 0
    params.offline, params.warmup = True, False
    params.ctx_shift = True  # or an answer would end with the window
    params.endpoint_metrics = True
    params.n_threads_http = 32  # each has a connection to itself, also one that rests
    params.cpuparams.n_threads = 1  # more wait for each other by turning in circles
    server, parent = xllamacpp.Server(params), os.getppid()
    print(f"process {os.getpid()} listens on {server.listening_address}", flush=True)  # noqa: T201 (who started it reads)
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
