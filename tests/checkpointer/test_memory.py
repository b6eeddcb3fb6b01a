from taf.checkpointer.memory import InMemoryCheckpointer
from taf.testing import CheckpointerContract


class TestInMemoryCheckpointer(CheckpointerContract):
    reopen = None

    def make_store(self) -> InMemoryCheckpointer:
        return InMemoryCheckpointer()
