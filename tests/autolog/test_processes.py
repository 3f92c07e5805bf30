"""Programs that end, in every way, and processes that fork: what was logged is on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import KEY, MODEL
from wandb_files import WrittenRun, read_runs

from wandb_inference import Ledger, autolog
from wandb_inference.emulator import Emulator, Fault

BEGIN = f"""
import os, sys, threading, time, signal, multiprocessing
from concurrent.futures import ThreadPoolExecutor
from wandb_inference import ChatRequest, Client, autolog

client = Client()
def call(text):
    return client.chat(ChatRequest("{MODEL}", [{{"role": "user", "content": str(text)}}])).text
"""
ENDS: dict[str, tuple[str, int | None, set[str]]] = {
    # name: (program, status, what was asked)
    "it runs off its end": ('autolog({"project": "p"})\ncall("a")', 0, {"a"}),
    "sys.exit": ('autolog({"project": "p"})\ncall("a")\nsys.exit(3)', 3, {"a"}),
    "an exception": ('autolog({"project": "p"})\ncall("a")\nraise RuntimeError', 1, {"a"}),
    "Ctrl-C": (
        'autolog({"project": "p"})\ncall("a")\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)',
        None,
        {"a"},
    ),
    "threads that are still at work": (
        'autolog({"project": "p"})\n'
        'threading.Thread(target=lambda: (time.sleep(1), call("late"))).start()\n'
        "pool = ThreadPoolExecutor(2)\n"
        'pool.submit(lambda: (time.sleep(0.5), call("pooled")))\n'
        'call("a")',
        0,
        {"a", "late", "pooled"},
    ),
    "a run that was never needed": ('autolog({"project": "p"})', 0, set()),
    "disable at exit": (
        'import atexit\nautolog({"project": "p"})\natexit.register(autolog.disable)\ncall("a")',
        0,
        {"a"},
    ),
    "off before": ('autolog({"project": "p"})\ncall("a")\nautolog.disable()\ncall("b")', 0, {"a"}),
}


def program(code: str, emulator: Emulator, folder: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        env={**os.environ, "WANDB_INFERENCE_BASE_URL": emulator.url, "WANDB_API_KEY": KEY, **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def asked(run: WrittenRun) -> list[str]:
    return [json.loads(row["messages"])[0]["content"] for row in run.table("llm/calls_final")]


@pytest.mark.parametrize("end", ENDS)
def test_a_program_s_end(end: str, emulator: Emulator, tmp_path: Path) -> None:
    code, status, texts = ENDS[end]
    running = program(code, emulator, tmp_path)
    out, err = running.communicate(timeout=300)
    assert status is None or running.returncode == status, out + err  # Ctrl-C: which one depends on the Python
    (run,) = read_runs(tmp_path)
    assert sorted(asked(run)) == sorted(texts)
    assert run.exit_code == 0
    assert "Traceback" not in err or end in ("an exception", "Ctrl-C")
    assert list(tmp_path.rglob("wandb/llm-calls-*.jsonl")) == []  # nothing is left over


@pytest.mark.parametrize("where", ["sinks", "redact"])
def test_the_end_of_a_program_waits_for_nobody_for_ever(where: str, emulator: Emulator, tmp_path: Path) -> None:
    code = (
        "from wandb_inference._autolog import session; session._AT_EXIT = 0.5\n"
        'autolog(**{where}=[lambda row: time.sleep(1000)])\ncall("a")'
    ).replace("**{where}", where)
    running = program(code, emulator, tmp_path)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    (spool,) = tmp_path.rglob("llm-calls-*.jsonl")
    written = Ledger.read(spool).total.calls
    assert written == (where == "sinks")
    assert f"{written} lie in {spool}" in err
    assert ("1 could not be written" in err) is (where == "redact")


def test_kill_and_replay_lose_nothing(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        'autolog({"project": "p"})\n'
        'with autolog.context(session="s"):\n'
        "    for n in range(40): call(n)\n"
        "while autolog.stats()['written'] < 40: time.sleep(0.01)\n"
        "print(autolog.stats()['spool'], flush=True)\n"
        "time.sleep(60)"
    )
    running = program(code, emulator, tmp_path)
    assert running.stdout is not None
    spool = Path(running.stdout.readline().strip())
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=300)
    assert spool.stat().st_mode & 0o777 == 0o600
    with spool.open("ab") as torn:
        torn.write(b'{"schema": 1, "call_id": "torn')
    again = tmp_path / "again"
    assert autolog.replay(spool, {"project": "p", "dir": again}) == 40
    (run,) = read_runs(again)
    assert asked(run) == [str(n) for n in range(40)]
    assert {row["session_id"] for row in run.table("llm/calls")} == {"s"}
    assert run.summary["llm/cost_total_usd"] == float(Ledger.read(spool).total.cost)
    assert run.exit_code == 0
    assert spool.exists()  # it is the caller's to remove


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("fork", ["multiprocessing", "os.fork"])
def test_a_fork_logs_into_a_run_of_its_own(fork: str, emulator: Emulator, tmp_path: Path) -> None:
    code = {
        "multiprocessing": (
            'child = multiprocessing.get_context("fork").Process(target=call, args=("child",))\n'
            "child.start()\nchild.join()\nassert child.exitcode == 0\n"
        ),
        "os.fork": (
            "pid = os.fork()\n"
            "if not pid:\n"
            "    call('child')\n"
            "    os._exit(0 if autolog.disable() else 1)\n"
            "assert os.waitpid(pid, 0)[1] == 0\n"
        ),
    }[fork]
    running = program(
        f'autolog({{"project": "p"}})\ncall("before")\n{code}call("after")',
        emulator,
        tmp_path,
        PYTHONWARNINGS="default",
    )
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, out + err
    runs = read_runs(tmp_path)
    assert sorted(asked(run) for run in runs) == [["before", "after"], ["child"]]
    assert len({run.record.run_id for run in runs}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_children_that_are_forked_at_once(emulator: Emulator, tmp_path: Path) -> None:
    """While W&B's library is being started, its locks, and pydantic's, are taken."""
    code = (
        'autolog({"project": "p"})\n'
        'context = multiprocessing.get_context("fork")\n'
        "children = [context.Process(target=call, args=(n,)) for n in range(3)]\n"
        "for child in children: child.start()\n"
        "for child in children: child.join(120)\n"
        "assert [child.exitcode for child in children] == [0, 0, 0]\n"
    )
    running = program(code, emulator, tmp_path)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, out + err
    assert sorted(asked(run) for run in read_runs(tmp_path)) == [[], ["0"], ["1"], ["2"]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_whose_calls_were_all_given_up(emulator: Emulator, tmp_path: Path) -> None:
    emulator.script(Fault("stall", after=4))
    code = (
        'autolog(sinks=["jsonl"])\n'
        "pid = os.fork()\n"
        "if not pid:\n"
        "    with client.stream(ChatRequest('openai/gpt-oss-20b', [{'role': 'user', 'content': 'x'}])) as s: next(s)\n"
        "    assert autolog.disable()\n"
        "    os._exit(autolog.stats()['written'])\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1\n"
    )
    running = program(code, emulator, tmp_path)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, out + err


def test_a_child_that_makes_no_call_has_no_run(emulator: Emulator, tmp_path: Path) -> None:
    code = (
        'autolog({"project": "p"})\ncall("a")\n'
        'child = multiprocessing.get_context("fork").Process(target=print)\nchild.start()\nchild.join()\n'
    )
    running = program(code, emulator, tmp_path)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, out + err
    assert [asked(run) for run in read_runs(tmp_path)] == [["a"]]


def test_importing_it_imports_no_host() -> None:
    code = (
        "import sys, wandb_inference\n"
        "assert 'wandb' not in sys.modules\n"
        "from wandb_inference import autolog\n"
        "assert not {'wandb', 'opentelemetry.sdk', 'weave', 'litellm', 'langchain_core'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


MISSING: dict[str, tuple[str, str]] = {
    # module that is not there: (call, what is said)
    "wandb": ("autolog()", "pip install 'wandb-inference[wandb]'"),
    "opentelemetry.sdk": ("autolog.OTLP('http://127.0.0.1:1/')", "pip install 'wandb-inference[otel]'"),
}


@pytest.mark.parametrize("module", MISSING)
def test_a_missing_extra_is_named(module: str) -> None:
    call, said = MISSING[module]
    code = f"import sys; sys.modules[{module!r}] = None\nfrom wandb_inference import autolog\n{call}"
    seen = subprocess.run([sys.executable, "-c", code], check=False, timeout=300, capture_output=True, text=True)
    assert seen.returncode == 1
    assert said in seen.stderr.splitlines()[-1]


def test_the_thread_that_calls_opens_nothing(emulator: Emulator, tmp_path: Path) -> None:
    code = """
seen, watching, mine = [], False, threading.get_ident()
service = os.environ["WANDB_INFERENCE_BASE_URL"]
def audit(event, arguments):
    if not watching or threading.get_ident() != mine or event not in ("open", "socket.connect", "subprocess.Popen"):
        return
    if event == "socket.connect" and f":{arguments[1][1]}/" in service:
        return  # the client's own, which opens another connection when the first one has rested for long
    seen.append((event, arguments))
sys.addaudithook(audit)
call("opens the connection")
autolog({"project": "p"})
watching = True
for n in range(20): call(n)
watching = False
assert seen == [], seen
"""
    running = program(code, emulator, tmp_path)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    (run,) = read_runs(tmp_path)
    assert len(asked(run)) == 20


def test_a_folder_called_wandb_is_not_the_library(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    code = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + ['.']\n"
        "import wandb; assert wandb.__file__ is None\n"
        f"sys.path += {sys.path!r}\n"
        "from wandb_inference import autolog\n"
        "autolog()"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], check=False, timeout=300, capture_output=True, text=True, cwd=tmp_path
    )
    assert "pip install 'wandb-inference[wandb]'" in seen.stderr.splitlines()[-1]
