"""The demo, as people run it: in processes of its own, with and without a terminal, killed and resumed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.approval_workflow import build, main
from taf import SqliteCheckpointer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-W", "error", str(ROOT / "examples" / "approval_workflow.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "approval.db")


def run(db: str, *arguments: str, typed: str = "") -> str:
    """Run the program to its end, and return what it printed."""
    command = [*PROGRAM, "--db", db, *arguments]
    ended = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def start(db: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "--db", db, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def kill_at(process: subprocess.Popen[str], text: str) -> None:
    """Send SIGKILL as soon as the program has printed the text."""
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        character = process.stdout.read(1)
        assert character, f"the program ended before {text!r}: {seen}"
        seen += character
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("word", ["yes", "Yes, please.", "approved"])
def test_a_yes_lets_the_guarded_node_run(db: str, word: str) -> None:
    shown = run(db, typed=f"{word}\n")

    assert "report:   3 files deleted" in shown
    assert shown.endswith("Done.\n")


@pytest.mark.parametrize("word", ["no", "NO!", "denied", "no, never say yes to that"])
def test_a_no_keeps_the_guarded_node_from_running(db: str, word: str) -> None:
    shown = run(db, typed=f"{word}\n")

    assert "deleting" not in shown
    assert shown.endswith("Denied: nothing was deleted.\n")


def test_what_is_neither_yes_nor_no_is_asked_again(db: str) -> None:
    shown = run(db, typed="well\n\nyes\n")

    assert shown.count("Delete them? (yes/no)") == 3
    assert shown.endswith("Done.\n")


@pytest.mark.parametrize("typed", ["", "perhaps\n"])
def test_without_an_answer_it_ends_and_says_how_to_go_on(db: str, typed: str) -> None:
    shown = run(db, "--thread", "t", typed=typed)

    assert "deleting" not in shown
    assert "Thread t waits" in shown
    assert f"examples/approval_workflow.py --db {db} --resume t --approve" in shown


@pytest.mark.parametrize(("answer", "end"), [("--approve", "Done.\n"), ("--deny", "Denied: nothing was deleted.\n")])
def test_the_printed_command_goes_on_in_another_process(tmp_path: Path, answer: str, end: str) -> None:
    shown = run(str(tmp_path / "a name with spaces.db"))
    command = next(line for line in shown.splitlines() if line.endswith(answer))
    words = shlex.split(command)
    assert words[0] == "python" or Path(ROOT, words[0]).samefile(sys.executable)
    ended = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout.endswith(end)


def test_a_denial_keeps_who_said_it_and_why(db: str) -> None:
    run(db, "--thread", "t")
    run(db, "--resume", "t", "--deny", "too risky", "--by", "alice")

    with SqliteCheckpointer(db) as store, build(store) as app:
        record = app.interrupts({"thread_id": "t"})[0]
    assert (record.status, record.answered_by, record.answer) == ("rejected", "alice", "too risky")


def test_a_resume_without_an_answer_asks_again(db: str) -> None:
    run(db, "--thread", "t")

    assert run(db, "--resume", "t", typed="yes\n").endswith("Done.\n")


@pytest.mark.parametrize(("answer", "end"), [("--approve", "Done.\n"), ("--deny", "Denied: nothing was deleted.\n")])
def test_a_process_killed_at_the_question_loses_nothing(db: str, answer: str, end: str) -> None:
    kill_at(start(db, "--thread", "t"), "Delete them? (yes/no)")

    assert run(db, "--resume", "t", answer).endswith(end)


def test_a_process_killed_in_the_guarded_node_goes_on_there(db: str) -> None:
    run(db, "--thread", "t", "--seconds", "60")
    with start(db, "--resume", "t", "--approve") as process:
        kill_at(process, "deleting 3 files")
    with start(db, "--resume", "t") as process:
        kill_at(process, "delete:")  # it goes on behind the question, and is killed again

    assert "analyze" not in run_and_shorten(db)


def run_and_shorten(db: str) -> str:
    """Let the thread go on with a deletion that is quick, and return what is printed."""
    with SqliteCheckpointer(db) as store, build(store) as app:
        app.update_state({"thread_id": "t"}, {"seconds": 0.0})
    shown = run(db, "--resume", "t")
    assert shown.endswith("Done.\n")
    return shown


def test_two_people_cannot_both_answer(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(db, "--thread", "t")
    run(db, "--resume", "t", "--approve", "--by", "alice")

    assert main(["--db", db, "--resume", "t", "--deny", "--by", "bob"]) == 1
    assert "already answered by alice" in capsys.readouterr().out


def test_an_unknown_thread_is_a_sentence_and_no_traceback(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--db", db, "--resume", "nobody"]) == 1
    assert capsys.readouterr().out == 'There is no thread "nobody" in this checkpointer.\n'


def test_an_answer_needs_a_thread(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--db", db, "--approve"])

    assert "need --resume THREAD" in capsys.readouterr().err
