from collections.abc import Iterator

import pytest

from tests.publisher.observers import Hung

pytest.register_assert_rewrite("taf.testing.publisher")


@pytest.fixture
def hung() -> Iterator[Hung]:
    """A publisher that stays in its first event until it is let go, at the latest with the end of the test."""
    publisher = Hung()
    yield publisher
    publisher.is_free.set()
