"""Guard of the unit tests."""

from __future__ import annotations

import importlib
import socket
import sys

import pytest


def test_import_of_airflow_is_an_error(monkeypatch):
    """An import of Airflow in a unit test raises an error."""
    monkeypatch.delitem(sys.modules, "airflow", raising=False)

    with pytest.raises(RuntimeError, match=r"^import of airflow: .* belongs to tests/integration"):
        importlib.import_module("airflow")


@pytest.mark.parametrize("use", [socket.create_server, socket.create_connection])
def test_use_of_the_network_is_an_error(use):
    """A unit test that opens a server or a connection raises an error."""
    with pytest.raises(RuntimeError, match=r"^socket\..* belongs to tests/integration"):
        use(("127.0.0.1", 0))
