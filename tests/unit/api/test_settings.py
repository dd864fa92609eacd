"""Settings of connections and tasks."""

from __future__ import annotations

import pytest
from huaweicloudsdkcore.auth.endpoint import get_iam_endpoint_by_id
from huaweicloudsdkmodelarts.v1.region.modelarts_region import ModelArtsRegion

from airflow_provider_modelarts.api import settings
from airflow_provider_modelarts.api.credentials import Environment, MetadataLogin, PasswordLogin
from airflow_provider_modelarts.api.settings import Settings, read_connection
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

SECRET = "hidden-secret-key"
TOKEN = "hidden-token"
PROXY = "http://user:hidden-password@proxy.example.com:3128"


def connection(extra=None, *, login="AK", password=SECRET, host=None, port=None, **arguments):
    """Return the settings of a connection, which has a region and a token by default."""
    extra = {"region": "cn-north-4", "security_token": TOKEN, **(extra or {})}
    return read_connection(login=login, password=password, host=host, port=port, extra=extra, **arguments)


def test_connection_with_required_fields_only():
    """Key and region are required; every other setting follows from them or has a default."""
    settings = read_connection(login="AK", password=SECRET, host=None, port=None, extra={"region": "cn-north-4"})

    assert settings == Settings(credentials=AccessKey("AK", SECRET), region="cn-north-4")
    assert settings.base_url("modelarts") == "https://modelarts.cn-north-4.myhuaweicloud.com"
    assert settings.base_url("iam") == "https://iam.cn-north-4.myhuaweicloud.com"
    assert (settings.verify, settings.proxies, settings.project_id) == (True, {}, None)
    assert (settings.connect_timeout, settings.read_timeout) == (10.0, 60.0)


def test_connection_of_the_huaweicloud_provider():
    """A connection of the huaweicloud provider works unchanged; fields of that provider only are ignored."""
    settings = read_connection(
        login="AK",
        password=SECRET,
        host="",
        port=None,
        extra={"region": "cn-north-4", "project_id": "p1", "obs_bucket": "bucket", "enterprise_project_id": "0"},
    )

    assert settings == Settings(credentials=AccessKey("AK", SECRET), region="cn-north-4", project_id="p1")


@pytest.mark.parametrize("auth", [None, "", "aksk", "AKSK"])
def test_connection_with_an_access_key(auth):
    """Requests are signed unless the connection sets another method."""
    assert connection({"auth": auth}).credentials == AccessKey("AK", SECRET, TOKEN)


def test_connection_with_a_password():
    """Login, password and domain_name are those of an IAM user."""
    settings = connection({"auth": "password", "domain_name": " my-account "}, login="me", password="mine")

    assert settings.credentials == PasswordLogin("me", "mine", "my-account")


@pytest.mark.parametrize("login", ["AK", None])
def test_connection_with_an_agency(login):
    """The metadata service issues the key; a key in the connection is ignored."""
    assert connection({"auth": "ecs_metadata"}, login=login, password=None).credentials == MetadataLogin()


def test_connection_with_the_environment():
    """The environment sets key, project and IAM endpoint; the last two of the connection take precedence."""
    variables = {
        "HUAWEICLOUD_SDK_AK": "theirs",
        "HUAWEICLOUD_SDK_SK": "secret",
        "HUAWEICLOUD_SDK_PROJECT_ID": "p-env",
        "HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.env.com",
    }
    environment = Environment(variables)
    found = connection({"auth": "environment"}, environment=environment)
    own = {"auth": "environment", "project_id": "p-own", "iam_endpoint": "https://iam.own.com"}
    settings = connection(own, environment=environment)

    assert found.credentials == settings.credentials == AccessKey("theirs", "secret")
    assert (found.project_id, found.iam_endpoint) == ("p-env", "https://iam.env.com")
    assert (settings.project_id, settings.iam_endpoint) == ("p-own", "https://iam.own.com")


@pytest.mark.parametrize("missing", ["login", "password", "domain_name"])
def test_connection_with_an_incomplete_password_login(missing):
    """The error names the required fields."""
    fields = {"login": "me", "password": "mine", "domain_name": "account", missing: ""}

    with pytest.raises(ModelArtsConfigurationError, match=r"requires an IAM user .* domain_name"):
        connection(
            {"auth": "password", "domain_name": fields["domain_name"]},
            login=fields["login"],
            password=fields["password"],
        )


def test_connection_with_an_unknown_auth_method():
    """The error lists the known methods."""
    with pytest.raises(ModelArtsConfigurationError, match="auth must be 'aksk' or 'password' or 'ecs_metadata' or"):
        connection({"auth": "kerberos"})


def test_connection_with_all_fields():
    """Every field of the connection is read into its setting."""
    settings = connection(
        {
            "project_id": "p1",
            "endpoint": "https://modelarts.example.com/",
            "iam_endpoint": "http://127.0.0.1:8080",
            "verify": "/etc/ssl/ours.pem",
            "timeout": [5, 30],
            "proxies": {"https": PROXY},
        }
    )

    assert settings.credentials == AccessKey("AK", SECRET, TOKEN)
    assert settings.project_id == "p1"
    assert settings.base_url("modelarts") == "https://modelarts.example.com"
    assert settings.base_url("iam") == "http://127.0.0.1:8080"
    assert settings.verify == "/etc/ssl/ours.pem"
    assert (settings.connect_timeout, settings.read_timeout) == (5.0, 30.0)
    assert settings.proxies == {"https": PROXY}


def test_connection_from_text_only():
    """Fields that hold only text, as those of a URI, are converted; blank ones are ignored."""
    settings = connection(
        {
            "project_id": " p1 ",
            "endpoint": "",
            "iam_endpoint": "",
            "verify": "false",
            "timeout": "10,60",
            "proxies": '{"http": "http://proxy:3128"}',
        },
        login=" AK ",
        password=f"{SECRET}\n",
    )

    assert settings.credentials == AccessKey("AK", SECRET, TOKEN)
    assert settings.project_id == "p1"
    assert settings.base_url("modelarts") == "https://modelarts.cn-north-4.myhuaweicloud.com"
    assert settings.verify is False
    assert (settings.connect_timeout, settings.read_timeout) == (10.0, 60.0)
    assert settings.proxies == {"http": "http://proxy:3128"}


@pytest.mark.parametrize("blank", [None, "", " "])
@pytest.mark.parametrize("name", ["security_token", "project_id", "endpoint", "iam_endpoint"])
def test_connection_with_a_blank_text(name, blank):
    """A blank text is ignored."""
    with_blank = connection({"security_token": None, name: blank})

    assert with_blank == connection({"security_token": None})


@pytest.mark.parametrize("blank", [None, ""])
@pytest.mark.parametrize("name", ["verify", "timeout", "proxies"])
def test_connection_with_a_blank_value(name, blank):
    """A blank value keeps the default."""
    assert connection({name: blank}) == connection()


@pytest.mark.parametrize(
    ("timeout", "connect", "read"),
    [
        (30, 30, 30),
        ("30", 30, 30),
        (0.5, 0.5, 0.5),
        ([10, 60], 10, 60),
        ((10, 60), 10, 60),
        (["10", "60"], 10, 60),
        ("10,60", 10, 60),
        ("10, 60", 10, 60),
        ("[10, 60]", 10, 60),
        ("(10, 60)", 10, 60),
        ([30], 30, 30),
    ],
)
def test_timeout(timeout, connect, read):
    """A timeout is one number, or one for connecting and one for reading, also as text."""
    settings = connection({"timeout": timeout})

    assert (settings.connect_timeout, settings.read_timeout) == (connect, read)


@pytest.mark.parametrize(
    ("verify", "expected"),
    [(True, True), (False, False), ("true", True), ("False", False), (0, False), ("/a/b.pem", "/a/b.pem")],
)
def test_verify(verify, expected):
    """TLS is verified unless a flag disables it, or against the certificates in a file."""
    assert connection({"verify": verify}).verify == expected


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("modelarts.example.com", None, "https://modelarts.example.com"),
        ("modelarts.example.com", 8443, "https://modelarts.example.com:8443"),
        ("http://127.0.0.1", 9000, "http://127.0.0.1:9000"),
        ("http://127.0.0.1:9000", None, "http://127.0.0.1:9000"),
        ("http://127.0.0.1:9000", 8000, "http://127.0.0.1:9000"),
        ("https://gateway.example.com/modelarts/", None, "https://gateway.example.com/modelarts"),
        (None, None, "https://modelarts.cn-north-4.myhuaweicloud.com"),
        ("", 8443, "https://modelarts.cn-north-4.myhuaweicloud.com"),
        ("https://gateway.example.com/modelarts", 8443, "https://gateway.example.com:8443/modelarts"),
    ],
)
def test_endpoint_of_host_and_port(host, port, url):
    """Host and port of the connection are the endpoint of ModelArts, but not of IAM."""
    settings = connection(host=host, port=port)

    assert settings.base_url("modelarts") == url
    assert settings.base_url("iam") == "https://iam.cn-north-4.myhuaweicloud.com"


def test_endpoint_in_extra_takes_precedence():
    """The field endpoint takes precedence over the host."""
    settings = connection({"endpoint": "https://a.example.com"}, host="b.example.com")

    assert settings.base_url("modelarts") == "https://a.example.com"


@pytest.mark.parametrize(
    ("extra", "arguments", "region", "project_id"),
    [
        ({"project_id": "p1"}, {}, "cn-north-4", "p1"),
        ({"project_id": "p1"}, {"region": "cn-north-4"}, "cn-north-4", "p1"),
        ({"project_id": "p1"}, {"region": "cn-east-3"}, "cn-east-3", None),
        ({"project_id": "p1"}, {"region": "cn-east-3", "project_id": "p2"}, "cn-east-3", "p2"),
        ({"project_id": "p1"}, {"project_id": "p2"}, "cn-north-4", "p2"),
        ({}, {"project_id": "p2"}, "cn-north-4", "p2"),
        ({"region": None}, {"region": "cn-east-3"}, "cn-east-3", None),
        ({"project_id": "p1"}, {"region": None, "project_id": None}, "cn-north-4", "p1"),
        ({"project_id": "p1"}, {"region": "", "project_id": ""}, "cn-north-4", "p1"),
        ({"project_id": "p1"}, {"region": "None", "project_id": "None"}, "cn-north-4", "p1"),
    ],
)
def test_region_and_project_of_a_task(extra, arguments, region, project_id):
    """A task's region takes precedence over the connection's; the connection's project id is ignored elsewhere."""
    settings = connection(extra, **arguments)

    assert (settings.region, settings.project_id) == (region, project_id)


@pytest.mark.parametrize(
    ("extra", "service", "url"),
    [
        ({"endpoint": "https://modelarts.cn-north-4.myhuaweicloud.com"}, "modelarts", None),
        ({"endpoint": "https://modelarts.cn-east-3.myhuaweicloud.com/"}, "modelarts", None),
        ({"iam_endpoint": "https://iam.cn-north-4.myhuaweicloud.com"}, "iam", None),
        ({"iam_endpoint": "https://iam.myhuaweicloud.com"}, "iam", "https://iam.myhuaweicloud.com"),
        ({"endpoint": "http://127.0.0.1:9000"}, "modelarts", "http://127.0.0.1:9000"),
        ({"endpoint": "https://modelarts.example.com"}, "modelarts", "https://modelarts.example.com"),
    ],
)
def test_endpoint_for_the_region_of_a_task(extra, service, url):
    """A regional endpoint of another region is ignored; a global one, a proxy or an emulator serves every region."""
    settings = connection(extra, region="cn-east-3")

    assert settings.base_url(service) == (url or f"https://{service}.cn-east-3.myhuaweicloud.com")


def test_host_for_the_region_of_a_task():
    """A host of another region is ignored, like an endpoint."""
    settings = connection(host="modelarts.cn-north-4.myhuaweicloud.com", port=443, region="cn-east-3")

    assert settings.base_url("modelarts") == "https://modelarts.cn-east-3.myhuaweicloud.com"


@pytest.mark.parametrize("region", [None, "cn-north-4"])
def test_endpoint_that_contradicts_the_region_of_its_connection(region):
    """An endpoint of another region is used if the task names no region other than the connection's."""
    settings = connection({"endpoint": "https://modelarts.cn-east-3.myhuaweicloud.com"}, region=region)

    assert settings.base_url("modelarts") == "https://modelarts.cn-east-3.myhuaweicloud.com"


def test_endpoint_without_region():
    """A connection with endpoint and project id requires no region, except for a request to IAM."""
    settings = connection({"region": None, "endpoint": "http://127.0.0.1:9000", "project_id": "p1"})

    assert settings.base_url("modelarts") == "http://127.0.0.1:9000"
    with pytest.raises(ModelArtsConfigurationError, match="no region"):
        settings.base_url("iam")


BAD_CONNECTIONS = [
    ({}, {"login": None}, "login"),
    ({}, {"login": ""}, "login"),
    ({}, {"login": " "}, "login"),
    ({}, {"password": None}, "password"),
    ({}, {"password": " "}, "password"),
    ({"region": None}, {}, "region"),
    ({"region": None, "endpoint": "https://example.com"}, {}, "region"),
    ({"region": None, "project_id": "p1"}, {}, "region"),
    ({"region": 4}, {}, "region"),
    ({"region": "cn north 4"}, {}, "region"),
    ({"region": "evil.example.com/"}, {}, "region"),
    ({}, {"region": "evil.example.com#"}, "region"),
    ({"project_id": 7}, {}, "project_id"),
    ({"project_id": "a/b"}, {}, "project_id"),
    ({}, {"project_id": "../x"}, "project_id"),
    ({"security_token": 7}, {}, "security_token"),
    ({"security_token": {"token": TOKEN}}, {}, "security_token"),
    ({"endpoint": "modelarts.example.com"}, {}, "endpoint"),
    ({"endpoint": "ftp://example.com"}, {}, "endpoint"),
    ({"endpoint": "https://"}, {}, "endpoint"),
    ({"endpoint": "https://example.com?a=b"}, {}, "endpoint"),
    ({"endpoint": f"https://user:{SECRET}@example.com"}, {}, "endpoint"),
    ({"endpoint": "https://example.com:port"}, {}, "endpoint"),
    ({"endpoint": "https://example.com:99999"}, {}, "endpoint"),
    ({"endpoint": "https://[::1"}, {}, "endpoint"),
    ({"endpoint": 7}, {}, "endpoint"),
    ({"iam_endpoint": "iam.example.com"}, {}, "iam_endpoint"),
    ({"iam_endpoint": f"https://user:{SECRET}@example.com"}, {}, "iam_endpoint"),
    ({}, {"host": "ftp://example.com"}, "host"),
    ({}, {"host": f"https://user:{SECRET}@example.com"}, "host"),
    ({}, {"host": "https://user@example.com", "port": 8443}, "host"),
    ({"verify": "maybe"}, {}, "verify"),
    ({"verify": 2}, {}, "verify"),
    ({"timeout": "soon"}, {}, "timeout"),
    ({"timeout": 0}, {}, "timeout"),
    ({"timeout": -1}, {}, "timeout"),
    ({"timeout": "10,0"}, {}, "timeout"),
    ({"timeout": [10, 60, 90]}, {}, "timeout"),
    ({"timeout": []}, {}, "timeout"),
    ({"timeout": True}, {}, "timeout"),
    ({"timeout": "nan"}, {}, "timeout"),
    ({"timeout": {"connect": 10}}, {}, "timeout"),
    ({"proxies": "text"}, {}, "proxies"),
    ({"proxies": ["http://proxy"]}, {}, "proxies"),
    ({"proxies": {"ftp": PROXY}}, {}, "proxies"),
    ({"proxies": {"https": 7}}, {}, "proxies"),
    ({"proxies": {"https": None}}, {}, "proxies"),
]


@pytest.mark.parametrize(("extra", "fields", "name"), BAD_CONNECTIONS)
def test_connection_with_a_bad_field(extra, fields, name):
    """A missing or wrong field is an error that names it."""
    with pytest.raises(ModelArtsConfigurationError, match=name):
        connection(extra, **fields)


@pytest.mark.parametrize(("extra", "fields", "name"), BAD_CONNECTIONS)
def test_message_of_a_bad_field_shows_no_secret(extra, fields, name):
    """No message shows the secret key, the token or a password, even one in the wrong field."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        connection(extra, **fields)

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("proxies", [PROXY, f'{{"https": "{PROXY}"'])
def test_message_of_a_bad_proxy_shows_no_password(proxies):
    """No message shows the password of a proxy, even one in plain text or broken JSON."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        connection({"proxies": proxies})

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["endpoint", "iam_endpoint"])
def test_endpoint_with_a_password_but_no_user(name):
    """An endpoint with a password is refused, because messages and the Host header would show it."""
    with pytest.raises(ModelArtsConfigurationError, match=name):
        connection({name: "https://:hidden-password@example.com"})


def test_settings_repr_shows_no_secret():
    """The repr of settings shows neither secret key, nor token, nor password of a proxy."""
    settings = connection({"proxies": {"https": PROXY}})

    assert (settings.credentials.secret_key, settings.credentials.security_token, settings.proxies["https"]) == (
        SECRET,
        TOKEN,
        PROXY,
    )
    assert "hidden" not in repr(settings)
    assert "cn-north-4" in repr(settings)


REGIONS = sorted(ModelArtsRegion.static_fields)
REGIONS_OF_IAM_ONLY = (
    "ae-ad-1 cn-east-2 cn-east-5 cn-south-2 eu-west-0 my-kualalumpur-1 na-mexico-1 ru-moscow-1".split()
)


def test_regions_of_the_vendor():
    """The vendor's table of regions is not empty, so the tests below compare something."""
    assert len(REGIONS) >= 20
    assert "cn-north-4" in REGIONS


@pytest.mark.parametrize("region", [region for region in REGIONS if region != "ap-southeast-1"])
def test_modelarts_endpoint_of_a_region(region):
    """The endpoint of each region equals the vendor's."""
    assert settings.modelarts_endpoint(region) in ModelArtsRegion.value_of(region).endpoints


def test_modelarts_endpoint_of_hong_kong():
    """The endpoint of ap-southeast-1 is the documented one, not that of the SDK, which ends in .cn."""
    assert settings.modelarts_endpoint("ap-southeast-1") == "https://modelarts.ap-southeast-1.myhuaweicloud.com"


@pytest.mark.parametrize("region", [*REGIONS, *REGIONS_OF_IAM_ONLY, "xx-new-1"])
def test_iam_endpoint_of_a_region(region):
    """IAM's endpoint of each region equals the vendor's, or is the global one if the vendor has none."""
    assert settings.iam_endpoint(region) == (get_iam_endpoint_by_id(region) or "https://iam.myhuaweicloud.com")
