"""Names of test cases that are the same in every process, so that several can share out the tests."""

import re

_NEW_IN_EACH_PROCESS = re.compile(r" at 0x[0-9a-f]+|\bid='[0-9a-z]{26}'")


def steady(value: object) -> str:
    """Return how a value is shown, without addresses and new ids."""
    return _NEW_IN_EACH_PROCESS.sub("", str(value))
