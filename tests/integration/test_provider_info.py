"""Metadata of the provider, where a mistake breaks every Airflow process."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib import metadata, resources
from typing import Any

import jsonschema
import pytest

from airflow_provider_modelarts import __version__
from airflow_provider_modelarts.api.settings import AuthMethod
from airflow_provider_modelarts.get_provider_info import get_provider_info
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

INFO: Any = get_provider_info()
CONNECTION = INFO["connection-types"][0]
MODULES = [
    module
    for kind in ("hooks", "operators", "sensors", "triggers")
    for entry in INFO[kind]
    for module in entry["python-modules"]
]


def test_provider_info_fits_the_schema_of_the_installed_airflow():
    """Airflow refuses to start with a provider that breaks its schema."""
    schema = json.loads((resources.files("airflow") / "provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)


def test_package_name_is_the_name_of_the_distribution():
    """Airflow fails to start if the two names differ."""
    distribution = metadata.distribution("airflow-provider-modelarts")

    assert INFO["package-name"] == distribution.metadata["Name"]
    assert distribution.version == __version__
    assert INFO["versions"] == [__version__]


def test_entry_point_returns_the_metadata():
    """Airflow finds the provider by this entry point."""
    (entry,) = [
        point
        for point in metadata.entry_points(group="apache_airflow_provider")
        if point.dist.name == "airflow-provider-modelarts"
    ]

    assert entry.load()() == INFO


@pytest.mark.parametrize("module", MODULES)
def test_listed_module_imports(module):
    """Every module named in the metadata exists."""
    assert importlib.import_module(module)


def test_connection_type_names_the_hook():
    """Class, connection type and name in the metadata are those of the hook."""
    module, _, name = CONNECTION["hook-class-name"].rpartition(".")

    hook = getattr(importlib.import_module(module), name)

    assert hook is ModelArtsHook
    assert CONNECTION["connection-type"] == ModelArtsHook.conn_type == "modelarts"
    assert CONNECTION["hook-name"] == ModelArtsHook.hook_name


def test_secret_fields_are_shown_as_passwords():
    """The form does not show a security token in clear text."""
    secret = [name for name, field in CONNECTION["conn-fields"].items() if "format" in field["schema"]]

    assert secret == ["security_token"]


def test_login_method_is_an_optional_choice():
    """Airflow 3.2 and later show a drop-down of the methods that the connection supports."""
    schema = CONNECTION["conn-fields"]["auth"]["schema"]

    assert schema == {"type": ["string", "null"], "enum": ["aksk", "password", "ecs_metadata", "environment"]}
    assert schema["enum"] == [*AuthMethod]


def test_port_stays_visible():
    """The connection test of Airflow 3.3 sends port 0 for a blank or hidden port, and Airflow's API refuses port 0."""
    behaviour = CONNECTION["ui-field-behaviour"]

    assert "port" not in behaviour["hidden-fields"]
    assert "required by Test" in behaviour["relabeling"]["port"]
    assert behaviour["placeholders"]["port"] == "443"


def test_both_forms_have_the_same_fields():
    """Airflow 2.11 to 3.1 read the form from the hook, later versions from the metadata."""
    pytest.importorskip("flask_appbuilder", reason="the form of Airflow 2.11 requires its web framework")

    widgets = ModelArtsHook.get_connection_form_widgets()

    assert list(widgets) == list(CONNECTION["conn-fields"])
    behaviour = ModelArtsHook.get_ui_field_behaviour()
    assert {key.replace("_", "-"): value for key, value in behaviour.items()} == CONNECTION["ui-field-behaviour"]


def test_form_of_airflow_2_hides_secrets_only():
    """The fields of the hook are rendered as text inputs, and secrets as password inputs."""
    pytest.importorskip("flask_appbuilder", reason="the form of Airflow 2.11 requires its web framework")
    from flask import Flask
    from flask_babel import Babel
    from wtforms import Form

    app = Flask("form")
    Babel(app)
    with app.test_request_context():
        form = type("ConnectionForm", (Form,), ModelArtsHook.get_connection_form_widgets())()
        rendered = {field.name: field() for field in form}

    assert list(rendered) == list(CONNECTION["conn-fields"])
    assert [name for name, html in rendered.items() if 'type="password"' in html] == ["security_token"]
    assert all('type="text"' in html for name, html in rendered.items() if name != "security_token")


def test_metadata_module_imports_nothing_heavy():
    """Every Airflow process loads the metadata."""
    code = "import sys; import airflow_provider_modelarts.get_provider_info; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "airflow" not in loaded
    assert "requests" not in loaded
    assert "aiohttp" not in loaded
