"""``wandb-inference usage``, on a ledger of real calls; its page in a real browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from support import KEY, MODEL, ask
from typer.testing import CliRunner

from wandb_inference import Catalog, Client, InferenceError, Ledger, labels
from wandb_inference.cli.app import app
from wandb_inference.emulator import Emulator, Fault

GLM = "zai-org/GLM-5.2"
HOSTILE = '</td><script>document.title="hacked"</script>$x^2$'
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture
def ledger(emulator: Emulator, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    emulator.script(Fault(status=401))
    with Ledger(path) as kept:
        with Client(base_url=emulator.url, api_key=KEY, on_record=kept.add) as client:
            with suppress(InferenceError):
                client.chat(ask("Hello"))
            for model in (MODEL, GLM, GLM):
                with labels(session="s1", tags={"feature": HOSTILE}):
                    client.chat(ask("Hello", model=model))
            with client.stream(ask("Hello")) as events:
                list(events)
        with Client(base_url=emulator.url, api_key=KEY, on_record=kept.add, catalog=Catalog.empty()) as client:
            client.chat(ask("Hello"))
    return path


def run(*args: str | Path) -> str:
    result = CliRunner().invoke(app, ["usage", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables(ledger: Path) -> None:
    lines = run(ledger).splitlines()
    kept = Ledger.read(ledger)
    titles = [line.strip() for line in lines if line.strip() in ("Models", "Tags", "Sessions")]
    assert titles == ["Models", "Tags", "Sessions"]
    by_name = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert by_name[GLM][1:3] == ["2", "0"]
    assert by_name["all"][1:3] == ["6", "1"]
    assert f"{kept.total.cost:.6f}" in by_name["all"]
    assert "unpriced" in by_name["all"]
    assert "1 x AuthenticationError" in lines


def test_json_and_several_files(ledger: Path) -> None:
    one, both = (json.loads(run(*files, "--json")) for files in ([ledger], [ledger, ledger]))
    assert one == json.loads(json.dumps(Ledger.read(ledger).to_dict()))
    assert both["total"]["calls"] == 2 * one["total"]["calls"]
    assert one["model"][MODEL]["errors"] == {"AuthenticationError": 1}


def test_top(ledger: Path) -> None:
    assert "(1 more: --top)" in run(ledger, "--top", "1")


@pytest.mark.parametrize(
    ("text", "said"), [("", "no calls"), ('{"a": 1}\n', "is no record of a call"), (None, "Cannot read")]
)
def test_other_files(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "x.jsonl").write_text(text)
    result = CliRunner().invoke(app, ["usage", str(tmp_path / "x.jsonl")])
    assert said in str(result.exception)


def test_the_page_loads_nothing_and_runs_nothing(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "--html", tmp_path / "usage.html")
    page = (tmp_path / "usage.html").read_text("utf-8")
    assert "<script" not in page
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    pictures = [base64.b64decode(found).decode() for found in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert len(pictures) == 3
    assert all("<svg" in picture and "<path" in picture for picture in pictures)
    assert str(Ledger.read(ledger).total.cost) in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian's package `chromium`)")
def test_the_page_in_chromium(ledger: Path, tmp_path: Path) -> None:
    run(ledger, "--html", tmp_path / "usage.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1800"]
    page = (tmp_path / "usage.html").as_uri()
    # The page runs no script of its own, so it is measured from a frame around it.
    (tmp_path / "around.html").write_text(
        "<iframe id=f src=usage.html width=1400 height=1800></iframe><pre id=told></pre><script>"
        "f.onload = async () => { const inside = f.contentDocument;"
        "const images = [...inside.images]; await Promise.all(images.map(i => i.decode()));"
        "told.textContent = JSON.stringify({title: inside.title, widths: images.map(i => i.naturalWidth),"
        "heads: [...inside.querySelectorAll('h2')].map(h => h.textContent),"
        "cells: [...inside.querySelectorAll('td:first-child')].map(c => c.textContent)}) }</script>"
    )
    around = ["--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom"]
    seen = subprocess.run(
        [*command, *around, (tmp_path / "around.html").as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(
        re.findall(r'<pre id="told">(.*?)</pre>', seen.stdout)[0].replace("&lt;", "<").replace("&gt;", ">")
    )
    assert told["title"] == "Usage"
    assert len(told["widths"]) == 3
    assert all(width > 300 for width in told["widths"])
    assert told["heads"] == ["Models", "Tags", "Sessions", "Errors"]
    assert f"feature={HOSTILE}" in told["cells"]
    assert "CONSOLE" not in seen.stderr  # where Chromium reports what a page may not load
    shot = tmp_path / "usage.png"
    subprocess.run([*command, f"--screenshot={shot}", page], capture_output=True, timeout=60, check=True)
    assert shot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_names_steer_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    steering = "a\x1b[2Jb\x9b1m\udc80"
    row = {"schema": 1, "status": "ok", "model_sent": steering, "session_id": steering, "tags": {steering: steering}}
    path.write_text(json.dumps(row) + "\n")
    shown = run(path)
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "a\\x1b[2Jb" in shown
