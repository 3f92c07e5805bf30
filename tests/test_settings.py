"""Which key goes where, for which project; and what is never read, never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from wandb_inference import DEFAULT_BASE_URL, ConfigurationError, Settings

OTHER = "https://llm.example.com/v1"
NETRC = "machine api.wandb.ai\n  login user\n  password from-netrc\n"


def resolve(tmp_path: Path, *, netrc: str = "", env: dict[str, str] | None = None, **arguments: Any) -> Settings:
    file = tmp_path / "a-netrc"
    file.write_text(netrc)
    return Settings.resolve(env=env or {}, netrc_file=file, **arguments)


KEYS: dict[str, tuple[dict[str, Any], str, str]] = {
    # name: (arguments, key, base URL)
    "argument": ({"api_key": "arg"}, "arg", DEFAULT_BASE_URL),
    "environment": ({"env": {"WANDB_API_KEY": "env"}}, "env", DEFAULT_BASE_URL),
    "netrc": ({"netrc": NETRC}, "from-netrc", DEFAULT_BASE_URL),
    "argument before environment": ({"api_key": "arg", "env": {"WANDB_API_KEY": "env"}}, "arg", DEFAULT_BASE_URL),
    "environment before netrc": ({"env": {"WANDB_API_KEY": "env"}, "netrc": NETRC}, "env", DEFAULT_BASE_URL),
    "argument to a host in an argument": ({"api_key": "arg", "base_url": OTHER}, "arg", OTHER),
    "argument to a host in the environment": (
        {"api_key": "arg", "env": {"WANDB_INFERENCE_BASE_URL": OTHER}},
        "arg",
        OTHER,
    ),
    "environment to the host beside it": (
        {"env": {"WANDB_API_KEY": "env", "WANDB_INFERENCE_BASE_URL": OTHER}},
        "env",
        OTHER,
    ),
    "argument host before environment host": (
        {"api_key": "arg", "base_url": OTHER, "env": {"WANDB_INFERENCE_BASE_URL": "https://third.example"}},
        "arg",
        OTHER,
    ),
    "spaces around it": ({"env": {"WANDB_API_KEY": " env\n"}}, "env", DEFAULT_BASE_URL),
    "a slash at the end": ({"api_key": "arg", "base_url": OTHER + "/"}, "arg", OTHER),
}


@pytest.mark.parametrize("name", KEYS)
def test_key_and_host(name: str, tmp_path: Path) -> None:
    arguments, key, url = KEYS[name]
    settings = resolve(tmp_path, **arguments)
    assert (settings.api_key.get_secret_value(), settings.base_url) == (key, url)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # name: (arguments, words of the message)
    "no key": ({}, "wandb login"),
    "an empty key": ({"env": {"WANDB_API_KEY": " "}}, "No API key"),
    "netrc to another host": ({"netrc": NETRC, "base_url": OTHER}, "named beside it"),
    "netrc to another host in the environment": (
        {"netrc": NETRC, "env": {"WANDB_INFERENCE_BASE_URL": OTHER}},
        "beside",
    ),
    "environment key to an argument's host": ({"env": {"WANDB_API_KEY": "env"}, "base_url": OTHER}, "named beside it"),
    "OPENAI_API_KEY is not ours": ({"env": {"OPENAI_API_KEY": "sk-1"}}, "No API key"),
    "a key with a line end": ({"api_key": "abc\ndef"}, "characters"),
    "a key that is no ASCII": ({"api_key": "schlüssel"}, "characters"),
    "project without a team": ({"api_key": "k", "project": "alone"}, "'team/project'"),
    "project with too many parts": ({"api_key": "k", "project": "a/b/c"}, "'team/project'"),
    "project with spaces": ({"api_key": "k", "project": "my team/x"}, "'team/project'"),
    "an empty project": ({"api_key": "k", "project": ""}, "'team/project'"),
    "a header in the project": ({"api_key": "k", "project": "a/b\r\nx: y"}, "'team/project'"),
    "project from the environment": (
        {"api_key": "k", "env": {"WANDB_INFERENCE_PROJECT": "x"}},
        "WANDB_INFERENCE_PROJECT",
    ),
    "entity and project": ({"api_key": "k", "env": {"WANDB_ENTITY": "a/b", "WANDB_PROJECT": "c"}}, "WANDB_ENTITY"),
    "no scheme": ({"api_key": "k", "base_url": "api.example.com/v1"}, "http(s)://host"),
    "another scheme": ({"api_key": "k", "base_url": "ftp://api.example.com"}, "http(s)://host"),
    "no host": ({"api_key": "k", "base_url": "https://"}, "http(s)://host"),
    "a bad port": ({"api_key": "k", "base_url": "http://localhost:99999"}, "http(s)://host"),
    "a query": ({"api_key": "k", "base_url": "https://x.example/v1?key=secret-1"}, "http(s)://host"),
    "a password in the URL": (
        {"api_key": "k", "base_url": "https://me:secret-1@x.example/v1"},
        "user name or password",
    ),
    "an endpoint": ({"api_key": "k", "base_url": OTHER + "/chat/completions"}, "Leave out /chat/completions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    arguments, words = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        resolve(tmp_path, **arguments)
    assert words in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in str(caught.value) for secret in ("secret-1", "schlüssel", "abc", "from-netrc"))
    assert "secret-1" not in shown


def test_a_malformed_netrc_is_named_and_its_content_is_not(tmp_path: Path) -> None:
    secret = f"secret-{'token'}"  # in two pieces: a traceback quotes this file, too
    with pytest.raises(ConfigurationError, match="a-netrc is malformed in line") as caught:
        resolve(tmp_path, netrc=f"machine api.wandb.ai login user password k1\n{secret} nonsense\n")
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("env", "project"),
    [
        ({}, None),
        ({"WANDB_INFERENCE_PROJECT": "a/b", "WANDB_ENTITY": "c", "WANDB_PROJECT": "d"}, "a/b"),
        ({"WANDB_ENTITY": "c", "WANDB_PROJECT": "d"}, "c/d"),
        ({"WANDB_ENTITY": "c"}, None),
        ({"WANDB_PROJECT": "d"}, None),
        ({"OPENAI_PROJECT_ID": "proj_1"}, None),
    ],
)
def test_project(env: dict[str, str], project: str | None, tmp_path: Path) -> None:
    assert resolve(tmp_path, api_key="k", env=env).project == project
    assert resolve(tmp_path, api_key="k", env=env, project="x/y").project == "x/y"


def test_netrc_is_found_where_wandb_login_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named").write_text(NETRC)
    monkeypatch.setenv("NETRC", str(tmp_path / "named"))
    assert Settings.resolve().api_key.get_secret_value() == "from-netrc"
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(NETRC.replace("from-netrc", "from-home"))
    (tmp_path / ".netrc").chmod(0o600)
    assert Settings.resolve().api_key.get_secret_value() == "from-home"


def test_repr_shows_no_key(tmp_path: Path) -> None:
    assert "arg-secret" not in repr(resolve(tmp_path, api_key="arg-secret"))
