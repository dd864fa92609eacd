"""The Trials tab: its registration, and the files it serves. tests/system/browser_trials.py covers the rest."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import metadata, resources

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_modelarts.plugins.modelarts import ModelArtsPlugin, StaticFilesApp

STATIC = resources.files("airflow_provider_modelarts") / "static"
PAGE = (STATIC / "trials.html").read_text()
SCRIPTS = {path.name: path.read_text() for path in STATIC.iterdir() if path.name.endswith(".js")}

has_tabs = pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="this Airflow has no such tabs")


def get(path, *, root="/modelarts"):
    """Return status, headers and body of a response of the application, mounted at a root."""
    pytest.importorskip("starlette")
    sent = []

    async def receive():
        await asyncio.Event().wait()  # the browser stays connected

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": root + path, "root_path": root, "headers": [], "extensions": {}}
    asyncio.run(StaticFilesApp()(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def test_entry_point_returns_the_plugin():
    """Airflow finds the plugin by this entry point."""
    (entry,) = [
        point
        for point in metadata.entry_points(group="airflow.plugins")
        if point.dist.name == "airflow-provider-modelarts"
    ]

    assert entry.load() is ModelArtsPlugin


@has_tabs
def test_tab_is_on_task_instances_and_names_them_in_its_url():
    """The page reads the task instance from its URL."""
    (view,) = ModelArtsPlugin.external_views

    assert (view["name"], view["destination"], view["url_route"]) == ("Trials", "task_instance", "modelarts_trials")
    assert set(re.findall(r"\{(\w+)\}", view["href"])) == {"DAG_ID", "RUN_ID", "TASK_ID", "MAP_INDEX"}


@has_tabs
def test_tab_shows_a_page_that_the_plugin_serves():
    """A relative URL works below any base path of Airflow."""
    (view,), (app,) = ModelArtsPlugin.external_views, ModelArtsPlugin.fastapi_apps
    prefix, _, page = view["href"].partition("?")[0].partition("/")

    assert app["url_prefix"] == f"/{prefix}"
    assert (STATIC / page).is_file()


@pytest.mark.skipif(AIRFLOW_V_3_1_PLUS, reason="this Airflow has such tabs")
def test_plugin_adds_nothing_to_an_older_airflow():
    """The plugin loads without an error."""
    assert ModelArtsPlugin.external_views == []
    assert ModelArtsPlugin.fastapi_apps == []


@pytest.mark.parametrize("root", ["/modelarts", "/airflow/modelarts"])
def test_page_is_served_below_any_root(root):
    """Airflow itself may be served below a base path."""
    status, headers, body = get("/trials.html", root=root)

    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body.decode() == PAGE


def test_browsers_revalidate_files_at_each_use():
    """Page and scripts are upgraded together; an old script may not fit a new page."""
    status, headers, _ = get("/trials.js")

    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert headers["etag"]


@pytest.mark.parametrize(
    "path", ["/../plugins/modelarts.py", "//etc/passwd", "/../../pyproject.toml", "/%2e%2e/__init__.py", "/", ""]
)
def test_other_paths_are_not_served(path):
    """The application serves the files of one folder, and no list of them."""
    starlette = pytest.importorskip("starlette.exceptions")

    with pytest.raises(starlette.HTTPException) as caught:
        get(path)

    assert caught.value.status_code == 404


class Page(HTMLParser):
    """Parser that collects the files and inline scripts of a page."""

    def __init__(self, text):
        super().__init__()
        self.files, self.inline, self.policy = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.files += [attributes[name] for name in ("src", "href") if name in attributes]
        self.inline += [name for name in attributes if name.startswith("on") or name == "style"]
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "style" or (tag == "script" and "src" not in attributes):
            self.inline.append(tag)


def test_page_is_made_of_files_of_its_folder():
    """The page requests no other host."""
    files = {name for name in Page(PAGE).files if name != "data:,"}

    assert "trials.js" in files
    assert files <= {path.name for path in STATIC.iterdir()}


def test_policy_allows_only_the_scripts_of_the_page():
    """A parameter name from a training script cannot run as a script."""
    page = Page(PAGE)

    assert page.policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
    )
    assert page.inline == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_makes_no_markup_from_text(name):
    """All values are inserted as text."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", SCRIPTS[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_can_be_embedded_in_a_page(name):
    """The report embeds the script, where such a text would end the element."""
    assert "</script" not in SCRIPTS[name].lower()


def test_loading_the_plugin_loads_no_web_framework():
    """Every component of Airflow loads the plugin: scheduler, triggerer and each worker."""
    airflow = "import airflow.providers.common.compat.sdk as sdk, sys; sdk.AirflowPlugin; before = set(sys.modules)"
    plugin = "import airflow_provider_modelarts.plugins.modelarts; print('added:', *set(sys.modules) - before)"
    output = subprocess.run([sys.executable, "-c", f"{airflow}; {plugin}"], capture_output=True, text=True, check=True)
    added = output.stdout.rpartition("added:")[2].split()

    assert {name.split(".")[0] for name in added} <= {"airflow", "airflow_provider_modelarts", "packaging"}
    assert not [name for name in added if name.startswith("airflow_provider_modelarts.") and "plugins" not in name]
