"""Refusals of bodies over HTTP, after which nothing is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.emulator.bench import Bench
from integration.emulator.wire import send
from unit.emulator.bodies import changed

from modelarts_emulator import running

REFUSED = {
    "no metadata": ("metadata", None, "2788"),
    "bad name": ("metadata.name", "../name", "0104"),
    "unknown managed algorithm": ("algorithm.id", "no-such-algorithm", "2755"),
    "spec that is not an object": ("spec", ["resource"], "2788"),
    "code_dir that is not there": ("algorithm.code_dir", "/bucket/none/", "2757"),
    "output outside the buckets": ("algorithm.outputs.0.remote.obs.obs_url", "/bucket/../../", "2791"),
    "bad parameter": ("algorithm.parameters", [{"name": "x", "value": 1}], "2765"),
    "no trials": ("algorithm.policies.auto_search.algo_configs.0.params.0.value", "0", "2826"),
}


@pytest.mark.parametrize(("path", "value", "code"), REFUSED.values(), ids=REFUSED)
def test_body_with_a_bad_part_is_refused(bench, path, value, code):
    """No job is there, and nothing was written."""
    assert bench.refusal(changed(bench.search_body(), path, value)) == code


@pytest.mark.parametrize(
    "body", ["", "[]", f'{{"kind": {"[" * 100_000}{"]" * 100_000}}}'], ids=["none", "list", "deep"]
)
def test_text_that_is_not_a_body_is_refused(bench, body):
    """With the platform's code."""
    assert bench.refusal(body) in {"2787", "2788"}


def test_refused_name_is_free(bench):
    """A job that was not created takes no name."""
    bench.refusal(changed(bench.body("mine"), "algorithm.boot_file", None))

    assert bench.post(bench.body("mine", x=3)).status == 201


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory):
    """A bench for all examples of a test; its script ends at once."""
    with running(scenarios=[], root=tmp_path_factory.mktemp("shared")) as emulator:
        bench = Bench(emulator)
        bench.write("print('acc: 1')")
        yield bench


def paths_in(value, path=""):
    """Return the dotted paths of all nodes of a JSON value but the first."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [(f"{path}.{key}".lstrip("."), node) for key, node in entries]
    return [found for name, node in inner for found in (name, *paths_in(node, name))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LOOKS = ["", "/autosearch-trials", "/autosearch-parameter-analysis", "/events", "/tasks/worker-0/logs/preview"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_anything_in_the_place_of_any_part_is_a_job_or_refused(shared, data):
    """Never an error of the emulator, and neither is any read of such a job."""
    good = shared.search_body(samples=2)
    path = data.draw(st.sampled_from(paths_in(good)))
    answer = shared.post(changed(good, path, data.draw(ANYTHING)))

    assert answer.status == 201 or 400 <= answer.status < 500
    if answer.status == 201:
        job_id = answer.json["metadata"]["id"]
        assert {shared.ask("GET", job_id, look).status for look in LOOKS} <= {200, 204, 400}
        assert shared.ask("DELETE", job_id).status == 202
    assert send(shared.emulator, "POST", "/v2/{p}/training-job-searches").json["total"] == 0
