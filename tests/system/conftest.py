"""Fixtures of the emulator for the tests of the example DAGs."""

from modelarts_emulator.pytest_plugin import _modelarts_emulator, _modelarts_emulator_factory  # noqa: F401 - fixtures
