"""An empty database for a benchmark: of the server that a DSN names, or of one that is started for it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from tests.pg.admin import Admin, with_database
from tests.pg.server import running_postgres


def wanted() -> str | None:
    """Return what stands behind ``--postgres``: a DSN, or nothing. None without that option."""
    if "--postgres" not in sys.argv:
        return None
    return "".join(sys.argv[sys.argv.index("--postgres") + 1 :][:1])


@contextmanager
def database(dsn: str) -> Generator[str]:
    """Make a database and drop it afterwards; without a DSN on a server of its own, with fsync on."""
    if not dsn:
        with running_postgres(fsync=True) as server:
            yield server.dsn(server.admin.create_database())
        return
    admin = Admin(lambda: dsn)
    name = admin.create_database()
    try:
        yield with_database(dsn, name)
    finally:
        admin.drop_database(name)
        admin.close()
