"""The simulated store is a store: without delays and faults it keeps the contract that all of them keep."""

from __future__ import annotations

from taf.testing import CheckpointerContract
from tests.simulation.database import Database
from tests.simulation.store import Direct, SimulatedCheckpointer


class TestSimulatedCheckpointer(CheckpointerContract):
    def make_store(self) -> SimulatedCheckpointer:
        """Make a database in which no time passes, so that no lease ends, and the first process's store."""
        self._database, self._wire, self._stores = Database(lambda: 0.0), Direct(), []
        self._database.announce = self._announce
        return self.reopen_store()

    def reopen_store(self) -> SimulatedCheckpointer:
        owner = f"process {len(self._stores)}"
        store = SimulatedCheckpointer(self._database, self._wire, owner, lambda: 0.0)
        self._stores.append(store)
        return store

    def _announce(self, key, place, change) -> None:
        for store in self._stores:
            store.watches.tell(key, place, change)
