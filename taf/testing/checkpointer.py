"""What every store has to keep, as tests to inherit. They know bytes only, no graph.

Derive a class whose name begins with ``Test``, and give it your store, empty:

    class TestMyStore(CheckpointerContract):
        def make_store(self) -> MyStore:
            return MyStore(self.tmp_path / "threads")

        def reopen_store(self) -> MyStore:
            return MyStore(self.tmp_path / "threads")

``make_store`` and ``reopen_store`` may be async. Where they are not enough, override the fixtures ``store`` and
``second``, which take other fixtures as they like; each gives an open store, and closes it.
"""

from __future__ import annotations

from taf.testing.store.commits import CommitTests
from taf.testing.store.crowd import CrowdTests
from taf.testing.store.ending import EndingTests
from taf.testing.store.journal import JournalTests
from taf.testing.store.listing import ListingTests
from taf.testing.store.mail import MailTests
from taf.testing.store.owning import OwningTests
from taf.testing.store.pruning import PruningTests
from taf.testing.store.reopening import ReopeningTests
from taf.testing.store.signals import SignalTests
from taf.testing.store.values import ValueTests


class CheckpointerContract(
    JournalTests,
    ValueTests,
    CommitTests,
    OwningTests,
    SignalTests,
    MailTests,
    ListingTests,
    PruningTests,
    CrowdTests,
    ReopeningTests,
    EndingTests,
):
    """The promises of ``BaseCheckpointer``, as pytest tests.

    ``reopen_store`` makes a second object on the data of the first, as another process would. A store that keeps
    nothing across its objects says ``reopen = None`` instead.
    """
