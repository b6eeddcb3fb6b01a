"""Fuzz the decoders, led by the coverage of taf's code: ``python -m tests.fuzz FOLDER SECONDS``.

Needs atheris (the extra ``fuzz``). The folder keeps what was worth keeping, from one time to the next. A case that
breaks a promise is written to it, and the program fails. ``tests/fuzz/found`` is where such a case then belongs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

MOST_MEGABYTES = 1024
FEWEST = 20
"""Cases a second. Fewer would not be worth the name; it is some thousand on a machine that does nothing else."""

WORKER = "TAF_FUZZ_WORKER"


def work(arguments: list[str]) -> None:
    """Be the fuzzer, for as long as libFuzzer's arguments say. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["taf"]):
        from tests.fuzz.cases import SECONDS, Decoders, Watch, corpus
        from tests.fuzz.mutation import MAX_BYTES, mutated

    decoders, watch, known = Decoders(), Watch(), list(corpus())
    for case in known:  # what is loaded late is loaded now
        decoders.decode(case)

    def try_case(case: bytes) -> None:
        watch.check(decoders, case)

    def change(case: bytes, most: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(case, most))
        return mutated(bytes(case), chance, chance.choice(known))[:most]

    limits = [f"-timeout={SECONDS:.0f}", f"-rss_limit_mb={MOST_MEGABYTES}", f"-max_len={MAX_BYTES}"]
    atheris.Setup([sys.argv[0], *limits, *arguments], try_case, custom_mutator=change)
    atheris.Fuzz()


def main(folder: Path, seconds: int) -> int:
    """Run the fuzzer, and report its counts. Return 1 when a promise was broken."""
    from tests.fuzz.cases import corpus
    from tests.torture.herd import report

    kept, found = folder / "corpus", folder / "found"
    for path in (kept, found):
        path.mkdir(parents=True, exist_ok=True)
    for case in corpus():
        (kept / sha256(case).hexdigest()[:16]).write_bytes(case)
    command = [sys.executable, "-m", "tests.fuzz", str(kept), f"-artifact_prefix={found}/"]
    command += [f"-max_total_time={seconds}", "-print_final_stats=1", "-verbosity=1"]
    done = subprocess.run(command, env={**os.environ, WORKER: "1"}, stderr=subprocess.PIPE, text=True, check=False)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    broken, executed = sorted(path.name for path in found.iterdir()), int(stats.get("number_of_executed_units", 0))
    counts = {"executed": executed, "kept": len(list(kept.iterdir())), "peak_megabytes": stats.get("peak_rss_mb")}
    report({**counts, "broken": broken, "seconds": seconds})
    is_good = not done.returncode and not broken and executed > FEWEST * seconds
    if not is_good:
        print(done.stderr[-4000:], file=sys.stderr)
    return int(not is_good)


if __name__ == "__main__":
    if os.environ.get(WORKER):
        work(sys.argv[1:])
    else:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
