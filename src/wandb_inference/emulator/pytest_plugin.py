"""A pytest fixture for your own test suite; pytest finds it through the package's entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wandb_inference.emulator import Emulator


@pytest.fixture
def wandb_inference_emulator() -> Iterator[Emulator]:
    """A running emulator of the test's own: ``.url``, ``.api_key``, ``.script(…)``, ``.requests``."""
    from wandb_inference.emulator import Emulator  # noqa: PLC0415 (only who asks for the fixture needs the extra)

    emulator = Emulator()
    with emulator:
        yield emulator
