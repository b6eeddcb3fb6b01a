from pathlib import Path

from taf.checkpointer.memory import InMemoryCheckpointer
from tests.checkpointer.contract import StoreContract


class TestInMemoryCheckpointer(StoreContract):
    def make_store(self, tmp_path: Path) -> InMemoryCheckpointer:
        return InMemoryCheckpointer()
