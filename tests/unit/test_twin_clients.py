"""Synchronous and asynchronous operations, which are the same except for ``await``."""

from __future__ import annotations

import inspect

import pytest

from airflow_provider_modelarts.async_client import AsyncModelArtsClient, AsyncModelArtsOperations
from airflow_provider_modelarts.client import ModelArtsClient, ModelArtsOperations

ASYNC_WORDS = {"AsyncIterator": "Iterator"}


def public(cls):
    """Return the public methods that a class defines itself."""
    return {name: member for name, member in vars(cls).items() if not name.startswith("_") and callable(member)}


def signature(method):
    """Return the parameters and the return annotation of a method, with the names of asynchronous types replaced."""
    found = inspect.signature(method)
    returned = str(found.return_annotation)
    for word, synchronous in ASYNC_WORDS.items():
        returned = returned.replace(word, synchronous)
    return list(found.parameters.values()), returned


SYNC, ASYNC = public(ModelArtsOperations), public(AsyncModelArtsOperations)


def test_twins_have_the_same_operations():
    """Both clients have the same operations in the same order, so that their files read alike."""
    assert list(SYNC) == list(ASYNC)
    assert "list_trials" in SYNC


@pytest.mark.parametrize("name", SYNC)
def test_twins_have_the_same_signature(name):
    """Both twins of an operation have the same names, defaults and annotations."""
    assert signature(SYNC[name]) == signature(ASYNC[name])


@pytest.mark.parametrize("name", SYNC)
def test_twins_have_the_same_docstring(name):
    """Both twins of an operation have the same contract, word for word."""
    assert SYNC[name].__doc__ == ASYNC[name].__doc__


@pytest.mark.parametrize("name", SYNC)
def test_asynchronous_twin_is_awaited_or_iterated(name):
    """An asynchronous operation is a coroutine or an asynchronous generator, and does not block an event loop."""
    method = ASYNC[name]

    assert inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)


@pytest.mark.parametrize("argument", ["settings", "reload", "on_secret"])
def test_clients_take_the_same_arguments(argument):
    """Both clients take these arguments and describe them in the same words."""
    assert argument in inspect.signature(ModelArtsClient).parameters
    assert argument in inspect.signature(AsyncModelArtsClient).parameters
    line = next(line for line in ModelArtsClient.__doc__.splitlines() if f":param {argument}:" in line)
    assert line in AsyncModelArtsClient.__doc__
