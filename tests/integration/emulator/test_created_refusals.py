"""Refusals of bodies over HTTP, which leave no trace."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.emulator.bench import Bench
from unit.emulator.bodies import changed

from modelarts_emulator import running

REFUSED = {
    "no metadata": ("metadata", None, "2788"),
    "bad name": ("metadata.name", "../name", "0104"),
    "unknown managed algorithm": ("algorithm.id", "no-such-algorithm", "2755"),
    "spec that is not an object": ("spec", ["resource"], "2788"),
    "code_dir that does not exist": ("algorithm.code_dir", "/bucket/none/", "2757"),
    "output outside the buckets": ("algorithm.outputs.0.remote.obs.obs_url", "/bucket/../../", "2791"),
    "bad parameter": ("algorithm.parameters", [{"name": "x", "value": 1}], "2765"),
    "no trials": ("algorithm.policies.auto_search.algo_configs.0.params.0.value", "0", "2826"),
}


@pytest.mark.parametrize(("path", "value", "code"), REFUSED.values(), ids=REFUSED)
def test_body_with_a_bad_part_is_refused(bench, path, value, code):
    """No job exists, and no file was written."""
    assert bench.refusal(changed(bench.search_body(), path, value)) == code


@pytest.mark.parametrize(
    "body", ["", "[]", f'{{"kind": {"[" * 100_000}{"]" * 100_000}}}'], ids=["none", "list", "deep"]
)
def test_text_that_is_not_a_body_is_refused(bench, body):
    """The error has the platform's code."""
    assert bench.refusal(body) in {"2787", "2788"}


def test_refused_name_can_be_used_again(bench):
    """A refused body does not reserve its name."""
    bench.refusal(changed(bench.body("mine"), "algorithm.boot_file", None))

    assert bench.post(bench.body("mine", x=3)).status == 201


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory):
    """Bench for all examples of a test, with a script that ends at once."""
    with running(scenarios=[], root=tmp_path_factory.mktemp("shared")) as emulator:
        bench = Bench(emulator)
        bench.write("print('acc: 1')")
        yield bench


def paths_in(value, path=""):
    """Return the dotted paths of all nodes below the root of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [(f"{path}.{key}".lstrip("."), node) for key, node in entries]
    return [found for name, node in inner for found in (name, *paths_in(node, name))]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
READS = ["", "/autosearch-trials", "/autosearch-parameter-analysis", "/events", "/tasks/worker-0/logs/preview"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_body_with_any_change_is_accepted_or_refused(shared, data):
    """The emulator raises no error, neither when it creates such a job nor when it reads one."""
    good = shared.search_body(samples=2)
    path = data.draw(st.sampled_from(paths_in(good)))
    response = shared.post(changed(good, path, data.draw(JSON_VALUES)))

    assert response.status == 201 or 400 <= response.status < 500
    if response.status == 201:
        job_id = response.json["metadata"]["id"]
        assert {shared.call("GET", job_id, path).status for path in READS} <= {200, 204, 400}
        assert shared.call("DELETE", job_id).status == 202
    assert shared.list_jobs() == []
