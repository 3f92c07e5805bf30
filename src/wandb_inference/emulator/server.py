"""The emulator on a real socket, in a thread of this process or as a program of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable

import uvicorn

from wandb_inference.catalog import Catalog
from wandb_inference.emulator.app import Seen, Service, build
from wandb_inference.emulator.protocol import Call
from wandb_inference.emulator.script import Chaos, Step, checked
from wandb_inference.emulator.writing import ReasoningField

DEFAULT_KEY = "emulator-key"


class Emulator:
    """A local W&B Inference.

    Args:
        api_key: the one key it accepts.
        script: what to answer to the next requests, in order, or a function of the call; afterwards, and where the
            function returns ``None``, it answers by itself.
        chaos: random faults.
        catalog: the models it serves; the bundled catalog's when ``None``.
        max_in_flight: calls a model takes at the same time; more are answered with 429.
        projects: the ``team/project`` names that exist; ``None``: any.
        latency: seconds before the first byte of every answer.
        token_delay: seconds between two events of a stream.
        reasoning_field: where reasoning is written.
        host: address to listen on.
        port: 0 takes a free one.

    >>> with Emulator() as url:
    ...     url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self,
        *,
        api_key: str = DEFAULT_KEY,
        script: Iterable[Step] | Callable[[Call], Step | None] = (),
        chaos: Chaos | None = None,
        catalog: Catalog | None = None,
        max_in_flight: int | None = None,
        projects: Collection[str] | None = None,
        latency: float = 0.0,
        token_delay: float = 0.0,
        reasoning_field: ReasoningField = "reasoning",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._service = Service(
            api_key=api_key,
            catalog=Catalog.bundled() if catalog is None else catalog,
            chaos=chaos,
            decide=script if callable(script) else None,
            max_in_flight=max_in_flight,
            projects=projects,
            latency=latency,
            token_delay=token_delay,
            reasoning_field=reasoning_field,
        )
        if not callable(script):
            self._service.steps.extend(checked(script))
        self._address = (host, port)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""
        """Base URL, once started; ends in ``/v1``."""

    @property
    def api_key(self) -> str:
        """The key it accepts."""
        return self._service.api_key

    @property
    def requests(self) -> tuple[Seen, ...]:
        """The requests that arrived, oldest first; the last thousand."""
        return tuple(self._service.requests)

    @property
    def max_in_flight(self) -> int | None:
        """Calls a model takes at the same time; it may be set while the emulator runs."""
        return self._service.max_in_flight

    @max_in_flight.setter
    def max_in_flight(self, calls: int | None) -> None:
        self._service.max_in_flight = calls

    def script(self, *steps: Step) -> None:
        """Answer the next requests with these steps, after those already in line.

        Raises:
            TypeError: a step is neither ``Reply`` nor ``Fault``.
        """
        self._service.steps.extend(checked(steps))

    def reset(self) -> None:
        """Forget the script and the requests."""
        self._service.steps.clear()
        self._service.requests.clear()

    def start(self) -> str:
        """Listen, in a thread, and return the base URL.

        Raises:
            OSError: the port is taken.
        """
        listening = self._listen()
        self._server = uvicorn.Server(self._config())
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="wandb-inference-emulator", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.001)
        return self.url

    def stop(self) -> None:
        """Stop at once, streams included."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(timeout=10)
            self._server = self._thread = None

    def serve(self, started: Callable[[str], object]) -> None:
        """Listen in this thread until interrupted; ``started`` is called with the base URL."""
        listening = self._listen()
        started(self.url)
        uvicorn.Server(self._config()).run(sockets=[listening])

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        # With the protocol named, asyncio switches Nagle off; without it every small write waits for 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(self._address)
        except OSError:
            listening.close()
            raise
        host, port = listening.getsockname()
        self.url = f"http://{host}:{port}/v1"
        return listening

    def _config(self) -> uvicorn.Config:
        # uvicorn would log each connection that a fault breaks on purpose.
        return uvicorn.Config(
            build(self._service),
            log_config=None,
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
