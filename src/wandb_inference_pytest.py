"""A pytest fixture for your own test suite; pytest finds it through the package's entry point.

A module of its own, because pytest imports it in every run: inside the package it would bring httpx and pydantic to
people who never use the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wandb_inference.emulator import Emulator


@pytest.fixture
def wandb_inference_emulator() -> Iterator[Emulator]:
    """A running emulator of the test's own: ``.url``, ``.api_key``, ``.script(…)``, ``.requests``."""
    from wandb_inference.emulator import Emulator  # noqa: PLC0415 (only who asks for the fixture pays for it)

    emulator = Emulator()
    with emulator:
        yield emulator
