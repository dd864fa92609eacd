"""Refusals of request bodies, with the platform's code if it is documented."""

from __future__ import annotations

import pytest
from unit.emulator.bodies import changed, job_body, refusal

from modelarts_emulator.errors import Refusal
from modelarts_emulator.handlers import Call
from modelarts_emulator.runs.request import checked_body
from modelarts_emulator.runs.storage import Buckets


@pytest.fixture(name="buckets")
def _buckets(tmp_path):
    """Bucket with a script in its code folder and another script beside the folder."""
    for name in ("code/train.py", "elsewhere/other.py"):
        path = tmp_path / "bucket" / name
        path.parent.mkdir(parents=True)
        path.touch()
    return Buckets(tmp_path)


def test_good_body_is_accepted(buckets):
    """The body that the other tests change is accepted."""
    assert refusal(job_body(x=1), buckets) == ""


LONG_ID = f"team_A-{'7' * 57}"


@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("0", "0"), (LONG_ID, LONG_ID)])
def test_checked_body_has_a_workspace(given, expected):
    """Every valid workspace id is accepted; the default is zero."""
    checked = checked_body(changed(job_body(), "metadata.workspace_id", given))

    assert checked["metadata"]["workspace_id"] == expected


OUT = "algorithm.outputs.0"


BODY = {
    "kind of another service": ("kind", "notebook", "2788"),
    "no kind": ("kind", None, "2788"),
    "no metadata": ("metadata", None, "2788"),
    "no name": ("metadata.name", None, "0104"),
    "blank name": ("metadata.name", "", "0104"),
    "name of 65": ("metadata.name", "n" * 65, "0104"),
    "name with a slash": ("metadata.name", "../name", "0104"),
    "name with a line break": ("metadata.name", "name\n", "0104"),
    "name that is a number": ("metadata.name", 7, "0104"),
    "blank workspace": ("metadata.workspace_id", "", "0104"),
    "workspace of 65": ("metadata.workspace_id", "w" * 65, "0104"),
    "workspace with a slash": ("metadata.workspace_id", "../team", "0104"),
    "workspace that is a number": ("metadata.workspace_id", 0, "0104"),
    "long description": ("metadata.description", "d" * 257, "0104"),
    "description that is not text": ("metadata.description", ["d"], "0104"),
    "no algorithm": ("algorithm", None, "2788"),
    "lone surrogate": ("metadata.description", "\ud800", "2787"),
    "NUL": ("metadata.annotations", {"a": "b\0"}, "2787"),
    "NUL in a key": ("metadata.annotations", {"a\0": "b"}, "2787"),
    "NaN": ("spec.resource.node_count", float("nan"), "2787"),
    "infinity": ("spec.resource.node_count", float("inf"), "2787"),
}

CODE = {
    "no code_dir": ("algorithm.code_dir", None, "2757"),
    "code_dir that does not exist": ("algorithm.code_dir", "/bucket/none/", "2757"),
    "code_dir that is a file": ("algorithm.code_dir", "/bucket/code/train.py", "2757"),
    "code_dir that is not a path": ("algorithm.code_dir", "bucket/code/", "2791"),
    "code_dir of another service": ("algorithm.code_dir", "https://bucket/code/", "2791"),
    "code_dir without a bucket": ("algorithm.code_dir", "obs://", "2791"),
    "code_dir that is an object": ("algorithm.code_dir", {"obs": "/bucket/code/"}, "2791"),
    "no boot_file": ("algorithm.boot_file", None, "2758"),
    "boot_file that does not exist": ("algorithm.boot_file", "/bucket/code/none.py", "2758"),
    "boot_file that is a folder": ("algorithm.boot_file", "/bucket/code/", "2758"),
    "boot_file outside code_dir": ("algorithm.boot_file", "/bucket/elsewhere/other.py", "2758"),
    "parent of code_dir": ("algorithm.boot_file", "/bucket/code/../elsewhere/other.py", "2791"),
}

ABSENT = {"name": "data_url", "remote": {"obs": {"obs_url": "/bucket/data/"}}}

FOLDERS = {
    "input that does not exist": ("algorithm.inputs", [ABSENT], "2791"),
    "input without a path": ("algorithm.inputs", [{"name": "d", "remote": {"dataset": {"id": "d"}}}], "2753"),
    "inputs that are not a list": ("algorithm.inputs", {"name": "d"}, "2788"),
    "output without a name": (f"{OUT}.name", None, "2753"),
    "output with a bad name": (f"{OUT}.name", "a b", "2753"),
    "output without a path": (f"{OUT}.remote", {}, "2753"),
    "output that is a file": (f"{OUT}.remote.obs.obs_url", "/bucket/code/train.py", "2791"),
    "environments that are not an object": ("algorithm.environments", ["A=b"], "2788"),
    "variable with a bad name": ("algorithm.environments", {"A=": "b"}, "2788"),
    "variable that is not text": ("algorithm.environments", {"A": 7}, "2788"),
    "long variable": ("algorithm.environments", {"A": "b" * 4097}, "2788"),
    "101 variables": ("algorithm.environments", {f"A{number}": "b" for number in range(101)}, "2788"),
}

TABLE = {**BODY, **CODE, **FOLDERS}


@pytest.mark.parametrize(("path", "value", "code"), TABLE.values(), ids=TABLE)
def test_body_with_a_bad_part_is_refused(buckets, path, value, code):
    """A body with one bad part is refused."""
    assert refusal(changed(job_body(), path, value), buckets) == code


TEXTS = {
    "word": ("job", "2787"),
    "half an object": ('{"kind": "job"', "2787"),
    "list": ("[]", "2787"),
    "empty": ("", "2788"),
    "not standard JSON": ('{"kind": NaN}', "2787"),
    "infinite number": ('{"kind": 1e999}', "2787"),
    "number of 5000 digits": (f'{{"kind": {"9" * 5000}}}', "2787"),
    "deep": (f'{{"kind": {"[" * 900}{"]" * 900}}}', "2787"),
    "as deep as Python reads": (f'{{"kind": {"[" * 970}{"]" * 970}}}', "2787"),
    "deeper": (f'{{"kind": {"[" * 100_000}{"]" * 100_000}}}', "2787"),
}


@pytest.mark.parametrize(("text", "code"), TEXTS.values(), ids=TEXTS)
def test_text_that_is_not_a_body_is_refused(text, code):
    """Text that is not the JSON of a body is refused with the platform's code."""
    with pytest.raises(Refusal) as raised:
        checked_body(Call({}, body=text.encode()).object())

    assert raised.value.code == f"ModelArts.{code}"


@pytest.fixture(name="outside")
def _outside(buckets, tmp_path_factory):
    """Folder outside the buckets, and links in a bucket: to that folder, to itself, and to the emulator's state."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "train.py").touch()
    links = {"out": outside, "loop": "loop", "state": "../.modelarts-emulator"}
    for name, target in links.items():
        (buckets.root / "bucket" / name).symlink_to(target)
    return outside


PATHS = {
    "parent": "/bucket/../../",
    "bucket that is the parent": "/../",
    "link to the outside": "/bucket/out/",
    "below a link to the outside": "/bucket/out/deeper/",
    "link to itself": "/bucket/loop/",
    "state of the emulator": "/.modelarts-emulator/jobs/",
    "link to the state of the emulator": "/bucket/state/jobs/",
    "long name": f"/bucket/{'n' * 256}/",
    "long key": f"/bucket/{'n/' * 600}",
}

USES = {
    "code": lambda body, path: changed(body, "algorithm.code_dir", path),
    "script": lambda body, path: changed(body, "algorithm.boot_file", f"{path}train.py"),
    "input": lambda body, path: changed(
        body, "algorithm.inputs", [{"name": "data_url", "remote": {"obs": {"obs_url": path}}}]
    ),
    "output": lambda body, path: changed(body, f"{OUT}.remote.obs.obs_url", path),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_path_outside_the_buckets_is_refused(buckets, outside, path, use):
    """A path outside the buckets is refused for code, script, input and output."""
    assert refusal(use(job_body(), path), buckets) == "2791"
