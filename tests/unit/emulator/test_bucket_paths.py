"""OBS paths: every accepted path is below the root of the emulator."""

from __future__ import annotations

import os

import pytest

from modelarts_emulator.errors import Refusal
from modelarts_emulator.runs.storage import Buckets


@pytest.fixture(name="buckets")
def _buckets(tmp_path):
    """Buckets beside an outside folder, with links to that folder."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "bucket" / "code", outside):
        folder.mkdir(parents=True)
    (root / "bucket" / "absolute").symlink_to(outside)
    (root / "bucket" / "relative").symlink_to("../../outside")
    (root / "bucket" / "twice").symlink_to("relative")
    (root / "bucket" / "top").symlink_to("..")
    (root / "linked").symlink_to(outside)
    (root / "bucket" / "inside").symlink_to("code")
    return Buckets(root)


REFUSED = {
    "NUL": "/bucket/a\0b",
    "NUL in the bucket": "/buck\0et/a",
    "parent": "/bucket/../outside",
    "parent and back": "/bucket/../bucket/code",
    "parent at the end": "obs://bucket/code/..",
    "scheme with an absolute path": "obs:///etc/passwd",
    "two slashes": "//etc/passwd",
    "local file URL": "file:///etc/passwd",
    "home": "~/x",
    "relative": "bucket/code",
    "bucket of dots": "/../etc",
    "bucket of one dot": "/./etc",
    "bucket with a backslash": "/..\\etc/x",
    "bucket with a line break": "/bucket\n/x",
    "long bucket": f"/{'b' * 64}/x",
    "long name": f"/bucket/{'n' * 256}",
    "long name in bytes": f"/bucket/{'一' * 100}",
    "long key": f"/bucket/{'n/' * 1000}",
    "megabyte": f"/bucket/{'n' * 1_000_000}",
    "megabyte of slashes and dots": f"/bucket/{'../' * 300_000}",
    "link to an absolute path": "/bucket/absolute/x",
    "link to a relative path": "/bucket/relative",
    "link to a link": "/bucket/twice/x/y",
    "link to the root": "/bucket/top",
    "bucket that is a link": "/linked/x",
    "state folder": "/.modelarts-emulator/x",
    "state folder through a link": "/bucket/top/.modelarts-emulator",
    "empty": "",
    "slash": "/",
    "number": 7,
    "list": ["/bucket/code"],
}


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED)
def test_path_outside_the_buckets_is_refused(buckets, path):
    """A path outside the buckets is refused with the platform's code and a short printable message."""
    with pytest.raises(Refusal) as raised:
        buckets.local(path, "code_dir")

    assert raised.value.code == "ModelArts.2791"
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 200


KEPT = {
    "folder": ("/bucket/code/", "bucket/code"),
    "local absolute path": ("/etc/passwd", "etc/passwd"),
    "encoded parent": ("/bucket/%2e%2e/%2e%2e/x", "bucket/%2e%2e/%2e%2e/x"),
    "backslashes": ("/bucket/..\\..\\x", "bucket/..\\..\\x"),
    "many slashes": ("/bucket////code//", "bucket/code"),
    "dots": ("obs://bucket/././code/.../x", "bucket/code/.../x"),
    "link inside": ("/bucket/inside/x", "bucket/code/x"),
    "control characters": ("/bucket/a\x1b\nb", "bucket/a\x1b\nb"),
}


@pytest.mark.skipif(os.sep != "/", reason="a backslash separates names on Windows")
@pytest.mark.parametrize(("path", "local"), KEPT.values(), ids=KEPT)
def test_odd_path_stays_below_the_root(buckets, path, local):
    """An odd path has no special meaning and stays below the root."""
    assert buckets.local(path, "code_dir") == buckets.root / local
