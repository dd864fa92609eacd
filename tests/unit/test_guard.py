"""The guard of the unit tests."""

from __future__ import annotations

import importlib
import socket
import sys

import pytest


def test_import_of_airflow_is_an_error(monkeypatch):
    """A unit test loads no Airflow, in whatever module the import stands."""
    monkeypatch.delitem(sys.modules, "airflow", raising=False)

    with pytest.raises(RuntimeError, match=r"^import of airflow: .* belongs to tests/integration"):
        importlib.import_module("airflow")


@pytest.mark.parametrize("use", [socket.create_server, socket.create_connection])
def test_use_of_the_network_is_an_error(use):
    """A unit test serves nothing, the emulator included, and connects to nothing."""
    with pytest.raises(RuntimeError, match=r"^socket\..* belongs to tests/integration"):
        use(("127.0.0.1", 0))
