"""What sees each write knows each file, however many connections come at a time."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

from tests.disk.trace import Trace
from tests.disk.vfs import layered

THREADS, FILES = 6, 30


def test_a_new_file_is_made_once_though_many_open_it(tmp_path: Path) -> None:
    start = Barrier(THREADS)

    def use(path: Path) -> None:
        start.wait()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA busy_timeout=10000")
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
            connection.execute("INSERT INTO t VALUES (1)")

    trace = Trace()
    with layered(trace), ThreadPoolExecutor(THREADS) as pool:
        for number in range(FILES):
            list(pool.map(use, [tmp_path / f"{number}.db"] * THREADS))
    made = Counter(op.path for op in trace.ops if op.kind == "create" and op.path.endswith(".db"))
    assert made == {f"{number}.db": 1 for number in range(FILES)}
    for number in range(FILES):
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (THREADS,)
