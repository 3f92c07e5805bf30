"""Which service, with which key, for which project. The only reader of the environment."""

from __future__ import annotations

import netrc
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args
from urllib.parse import urlsplit

from pydantic import SecretStr

from wandb_inference.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.inference.wandb.ai/v1"
"""The service (https://docs.coreweave.com/products/inference/serverless/api-reference, read 2026-09-30)."""

TransportName: TypeAlias = Literal["httpx", "fast"]

_NETRC_HOST = "api.wandb.ai"  # where `wandb login` files the key
_PROJECT = re.compile(r"[^\s/]+/[^\s/]+")
_WHERE_FROM = (
    "Create a key at https://wandb.ai/settings and pass api_key=, set WANDB_API_KEY, or run `wandb login`; "
    "without one, wandb_inference.emulator.Emulator stands in for the service."
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where calls go and who pays for them. ``repr`` shows no key."""

    api_key: SecretStr
    base_url: str = DEFAULT_BASE_URL
    """Without a slash at the end; the service's ends in ``/v1``."""
    project: str | None = None
    """``team/project`` to account the calls to; ``None``: the service's default."""
    transport: TransportName = "httpx"
    """The HTTP library behind a client that is not given one; ``fast`` needs the extra ``[fast]``."""

    def __post_init__(self) -> None:
        key = self.api_key.get_secret_value()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(
                "The API key holds characters that no key has (spaces, line ends or non-ASCII).", hint=_WHERE_FROM
            )

    @classmethod
    def resolve(
        cls,
        *,
        api_key: str | SecretStr | None = None,
        project: str | None = None,
        base_url: str | None = None,
        transport: TransportName | None = None,
        env: Mapping[str, str] | None = None,
        netrc_file: Path | None = None,
    ) -> Settings:
        """Return settings from arguments, else the environment, else netrc, else defaults.

        ``OPENAI_*`` variables are never read. A key goes only where it was meant to go: one given as an argument to
        the base URL in use, ``WANDB_API_KEY`` to the service or to the host named beside it in
        ``WANDB_INFERENCE_BASE_URL``, and one found in netrc to the service alone.

        Args:
            api_key: W&B API key; else ``WANDB_API_KEY``, else the netrc entry that ``wandb login`` writes.
            project: ``team/project``; else ``WANDB_INFERENCE_PROJECT``, else ``WANDB_ENTITY`` + ``WANDB_PROJECT``.
            base_url: else ``WANDB_INFERENCE_BASE_URL``, else the service.
            transport: ``httpx`` or ``fast``; else ``WANDB_INFERENCE_TRANSPORT``, else ``httpx``.
            env: instead of the process environment.
            netrc_file: instead of ``$NETRC`` or ``~/.netrc``.

        Raises:
            ConfigurationError: no key, an unusable key, a project that is not ``team/project``, a base URL that is
                not http(s), or a transport of another name.
        """
        env = os.environ if env is None else env
        env_url = env.get("WANDB_INFERENCE_BASE_URL", "").strip() or None
        if base_url == "":
            raise ConfigurationError("base_url is empty.", hint="An emulator has its URL once it is started.")
        url = _base_url(base_url or env_url or DEFAULT_BASE_URL)
        key = _secret(api_key) or None
        if key is None and url in (DEFAULT_BASE_URL, _base_url(env_url or DEFAULT_BASE_URL)):
            key = env.get("WANDB_API_KEY")
        if not key and url == DEFAULT_BASE_URL:
            key = _netrc_key(env, netrc_file)
        if not key or not key.strip():
            elsewhere = (
                f"A key for {url} must be named beside it: pass api_key= together with base_url=, "
                "or set WANDB_API_KEY together with WANDB_INFERENCE_BASE_URL."
            )
            raise ConfigurationError("No API key.", hint=_WHERE_FROM if url == DEFAULT_BASE_URL else elsewhere)
        return cls(SecretStr(key.strip()), url, _project(project, env), _transport(transport, env))


def _secret(value: str | SecretStr | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _base_url(url: str) -> str:
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The base URL {_without_secrets(url)!r} is not usable.",
            hint=f"It has the form http(s)://host[:port]/v1; the service's is {DEFAULT_BASE_URL}.",
        )
    if parts.username or parts.password:
        raise ConfigurationError(
            "The base URL holds a user name or password.", hint="Pass the key as api_key= instead."
        )
    if url.endswith("/chat/completions"):
        raise ConfigurationError(
            f"The base URL {_without_secrets(url)!r} names an endpoint.", hint="Leave out /chat/completions."
        )
    return url


def _without_secrets(url: str) -> str:
    before, at, rest = url.partition("?")[0].rpartition("@")  # a password may hold a slash
    scheme, slashes, _ = before.partition("//")
    return f"{scheme if slashes else ''}//***@{rest}" if at else rest


def _project(project: str | None, env: Mapping[str, str]) -> str | None:
    origin = "project"
    if project is None and (project := env.get("WANDB_INFERENCE_PROJECT") or None):
        origin = "WANDB_INFERENCE_PROJECT"
    if project is None and env.get("WANDB_ENTITY") and env.get("WANDB_PROJECT"):
        project, origin = f"{env['WANDB_ENTITY']}/{env['WANDB_PROJECT']}", "WANDB_ENTITY/WANDB_PROJECT"
    if project is None:
        return None
    if not _PROJECT.fullmatch(project) or not (project.isascii() and project.isprintable()):
        raise ConfigurationError(f"{origin} {project!r} is malformed.", hint="The form is 'team/project'.")
    return project


def _transport(name: str | None, env: Mapping[str, str]) -> TransportName:
    origin = "transport" if name is not None else "WANDB_INFERENCE_TRANSPORT"
    chosen = name if name is not None else env.get("WANDB_INFERENCE_TRANSPORT", "").strip() or "httpx"
    if chosen not in get_args(TransportName):
        raise ConfigurationError(
            f"{origin} {chosen!r} does not exist.", hint=f"{' or '.join(get_args(TransportName))}."
        )
    return cast("TransportName", chosen)


def certificates(env: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
    """Return the file and the folder of certificates to trust, as OpenSSL's variables name them."""
    env = os.environ if env is None else env
    return env.get("SSL_CERT_FILE") or None, env.get("SSL_CERT_DIR") or None


def _netrc_key(env: Mapping[str, str], file: Path | None) -> str | None:
    named = env.get("NETRC")
    candidates = [file or named] if file or named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for candidate in candidates:
        path = Path(str(candidate)).expanduser()
        try:
            entry = netrc.netrc(str(path)).hosts.get(_NETRC_HOST)
        except (OSError, UnicodeDecodeError):
            continue  # no such file, or none of ours to read
        except netrc.NetrcParseError as e:
            # The parser quotes what it could not read, which may be the key: neither shown nor chained.
            raise ConfigurationError(
                f"{path} is malformed in line {e.lineno}.", hint="Mend it, or set WANDB_API_KEY instead."
            ) from None
        if entry:
            return entry[2]
    return None


def spool_folder(folder: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None) -> Path:
    """Return where records of calls wait for their run: beside W&B's own files, in ``folder`` or ``WANDB_DIR``."""
    env = os.environ if env is None else env
    return Path(folder or env.get("WANDB_DIR") or ".") / "wandb"


def autolog_content(env: Mapping[str, str] | None = None) -> str | None:
    """Return what those who run the program let it log of what was said."""
    env = os.environ if env is None else env
    return env.get("WANDB_INFERENCE_AUTOLOG_CONTENT") or None


def cache_folder(env: Mapping[str, str] | None = None) -> Path:
    """Return where copies of public data are kept."""
    env = os.environ if env is None else env
    root = env.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "wandb-inference"
