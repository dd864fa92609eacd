"""Fields of an Airflow connection: the same settings as an object, from JSON and from a URI."""

from __future__ import annotations

import json

from airflow.providers.common.compat.sdk import Connection
from hypothesis import example, given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.api.settings import read_connection

texts = st.text(min_size=1, max_size=10).filter(str.strip)
words = st.text("abcXYZ019-_", min_size=1, max_size=12)
hosts = st.builds("{}.example.com".format, st.text("abc019", min_size=1, max_size=6))
ports = st.integers(1, 65535)
urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    hosts,
    st.just("") | ports.map(":{}".format),
    st.sampled_from(["", "/", "/modelarts", "/a%20b/ä"]),
)
seconds = st.integers(1, 999) | st.floats(0.001, 999, allow_nan=False)
proxies = st.dictionaries(st.sampled_from(["http", "https"]), texts.map("http://user:{}@proxy:3128".format), min_size=1)

#: Equivalent forms of each field; the first one is the value itself.
region = words.map(lambda word: [word, f" {word}\n"])
optional = {
    "project_id": words.map(lambda word: [word, f"{word} "]),
    "security_token": texts.map(lambda text: [text.strip(), f" {text} "]),
    "endpoint": urls.map(lambda url: [url, f" {url}"]),
    "iam_endpoint": urls.map(lambda url: [url]),
    "console_url": urls.map(lambda url: [url]),
    "job_name_prefix": words.map(lambda word: [word]),
    "verify": st.sampled_from(
        [
            [True, "true", "True", " TRUE ", 1, "1", "yes", "on"],
            [False, "false", "False", 0, "0", "no", "off"],
            ["/etc/ssl/ours.pem"],
            ["certs/ä b+c.pem"],
        ]
    ),
    "timeout": st.one_of(
        seconds.map(lambda one: [one, str(one), [one], f"[{one}]", [one, one], f"{one},{one}"]),
        st.tuples(seconds, seconds).map(
            lambda two: [
                list(two),
                [str(part) for part in two],
                json.dumps(two),
                str(two),
                f"{two[0]},{two[1]}",
                f"{two[0]}, {two[1]}",
            ]
        ),
    ),
    "retry_seconds": seconds.map(lambda one: [one, str(one), f" {one} "]),
    "proxies": proxies.map(lambda urls: [urls, json.dumps(urls), json.dumps(urls, ensure_ascii=False, indent=1)]),
}
others = st.dictionaries(st.sampled_from(["obs_bucket", "enterprise_project_id", "anything"]), st.just("") | texts)
extras = st.fixed_dictionaries({"region": region}, optional=optional)


def read(connection):
    """Return the settings of a connection."""
    return read_connection(
        login=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        extra=connection.extra_dejson,
    )


def in_all_forms(**fields):
    """Return a connection as an object, and as read back from JSON and from a URI."""
    made = Connection(conn_id="modelarts_default", conn_type="modelarts", **fields)
    from_uri = Connection(conn_id="modelarts_default", uri=made.get_uri())  # type: ignore[call-arg]
    return [made, Connection.from_json(made.as_json(), conn_id="modelarts_default"), from_uri]


@quick
@given(st.sampled_from([*optional]).flatmap(lambda name: st.tuples(st.just(name), optional[name])))
def test_forms_of_a_field_are_equivalent(field):
    """A flag, number, list or mapping may be written as such or as text, in each form of the connection."""
    name, forms = field
    expected, *others = [
        read(connection)
        for form in forms
        for connection in in_all_forms(login="AK", password="SK", extra=json.dumps({"region": "cn-1", name: form}))
    ]

    assert others == [expected] * (3 * len(forms) - 1)


@quick
@given(texts, texts, extras, others, st.data())
def test_settings_of_a_connection_survive_json_and_uri(login, password, extra, more, data):
    """The settings do not depend on the form of the connection or of its extras."""
    plain = {name: forms[0] for name, forms in extra.items()}
    written = {name: data.draw(st.sampled_from(forms), label=name) for name, forms in extra.items()}
    expected = read_connection(login=login.strip(), password=password.strip(), host=None, port=None, extra=plain)

    connections = in_all_forms(login=f" {login}", password=f"{password}\n", extra=json.dumps({**written, **more}))

    assert [read(connection) for connection in connections] == [expected] * 3


@quick
@given(hosts, st.none() | ports, st.sampled_from(["", "http://", "https://"]), texts, texts)
@example("a.example.com", 8443, "https://", "A/K", "s:e/c@r+e t%41")
def test_host_of_a_connection_survives_json_and_uri(host, port, scheme, login, password):
    """Host and port are the same endpoint in each form, with or without a scheme, and with any secret."""
    extra = json.dumps({"region": "cn-north-4"})
    connections = in_all_forms(login=login, password=password, host=f"{scheme}{host}", port=port, extra=extra)

    endpoint = f"{scheme or 'https://'}{host}" + (f":{port}" if port else "")
    found = [read(connection) for connection in connections]
    assert [settings.base_url("modelarts") for settings in found] == [endpoint] * 3
    assert found[0] == found[1] == found[2]


@quick
@given(extras, st.sampled_from([*optional]), st.sampled_from(["", None]))
def test_blank_extra_of_a_connection_is_ignored(extra, name, blank):
    """A blank field changes nothing, in each form of the connection."""
    without = {field: forms[0] for field, forms in extra.items() if field != name}
    expected = read_connection(login="AK", password="SK", host=None, port=None, extra=without)

    connections = in_all_forms(login="AK", password="SK", extra=json.dumps({**without, name: blank}))

    assert [read(connection) for connection in connections] == [expected] * 3
