"""A guard that keeps the unit tests pure: an import of Airflow and a use of the network are errors."""

from __future__ import annotations

import sys

import pytest

_guarded = False


class _NoAirflow:
    """A finder of modules, asked before all others, that refuses to find Airflow's."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Raise for a module of Airflow that is not loaded yet."""
        if name.partition(".")[0] == "airflow":
            _refuse(f"import of {name}")


def _audit(event, arguments):
    """Raise on what is done with a socket; asyncio makes one for itself, which leads nowhere."""
    if event.startswith("socket.") and event != "socket.__new__":
        _refuse(f"{event}{arguments[1:]}")


def _refuse(what):
    if _guarded:
        raise RuntimeError(f"{what}: a test that does this belongs to tests/integration")


sys.meta_path.insert(0, _NoAirflow)
sys.addaudithook(_audit)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Guard what the modules of the tests import."""
    return (yield from _guard())


@pytest.fixture(autouse=True)
def _pure():
    """Guard every test."""
    yield from _guard()


def _guard():
    global _guarded  # noqa: PLW0603 - an audit hook cannot be removed
    _guarded = True
    try:
        return (yield)
    finally:
        _guarded = False
