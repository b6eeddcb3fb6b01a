"""A worker process as the runner sees it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Worker:
    """A worker process, the samples it gave, and the time it took for them."""

    def __init__(self, system: dict[str, Any], job: dict[str, Any], folder: Path, env: dict[str, str]):
        self.system, self.job, self.folder = system, job, folder
        self.samples: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {}
        self.spent, self.over = 0.0, False
        (folder / "job.json").write_text(json.dumps(job))
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.benchkit.worker", str(folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=env,
            cwd=folder,
        )

    def ask(self, word: str, limit: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            if word:
                self.process.stdin.write(word + "\n")
                self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], limit)
            line = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            ready, line = [True], ""
        if not line and ready:
            return {"error": f"the process died with exit code {self.process.wait(5)}"}
        if not line:
            return {"error": f"no answer within {limit:.0f} s"}
        return json.loads(line)

    def take(self, answer: dict[str, Any]) -> bool:
        """True when the worker can go on."""
        if "error" in answer or "unsupported" in answer:
            self.result |= answer
            self.over = True
        return not self.over

    def sample(self, limit: float) -> None:
        begin = time.monotonic()
        answer = self.ask("go", limit)
        self.spent += time.monotonic() - begin
        if self.take(answer):
            self.over = answer.pop("done", False)
            self.samples.append(answer)

    def finish(self) -> dict[str, Any]:
        if "error" not in self.result and "unsupported" not in self.result:
            answer = self.ask("end", 60)
            self.result |= answer
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        if "error" in self.result:
            self.result["log"] = (self.folder / "log").read_text()[-3000:]
        return {"system": self.system["name"], "spent_s": round(self.spent, 2), "passes": self.samples, **self.result}

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
