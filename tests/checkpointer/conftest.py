import pytest

pytest.register_assert_rewrite("taf.testing.store")
