"""The pytest fixture, in a test suite that knows nothing but the installed package."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)


def test_users_get_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from wandb_inference import ChatRequest, Client
        from wandb_inference.emulator import Reply

        def test_mine(wandb_inference_emulator):
            emulator = wandb_inference_emulator
            emulator.script(Reply("as told"))
            with Client(base_url=emulator.url, api_key=emulator.api_key) as client:
                answer = client.chat(ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "Hi"}]))
            assert answer.text == "as told"
            assert len(emulator.requests) == 1
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=1)
