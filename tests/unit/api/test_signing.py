"""Request signatures, against published vectors and against the vendor's own signer."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.builders import quick, vendor_signed

from airflow_provider_modelarts.api import signing
from airflow_provider_modelarts.api.signing import AccessKey

PROJECT = "0123456789abcdef0123456789abcdef"
JOB_PATH = f"/v2/{PROJECT}/training-jobs/5b60a667-1438-4eb5-9705-85b860e623dc"
EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# V1: published in the documentation of the API's signatures
V1_CANONICAL = "\n".join(
    [
        "GET",
        "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs/",
        "limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        "content-type:application/json",
        "host:service.region.example.com",
        "x-sdk-date:20191115T033655Z",
        "",
        "content-type;host;x-sdk-date",
        EMPTY_HASH,
    ]
)
V1_TO_SIGN = "SDK-HMAC-SHA256\n20191115T033655Z\nb25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a"
V1_SECRET = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"


def seconds(date):
    """Return the seconds since the epoch of a date in the format of signatures."""
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def signature_of(headers):
    """Return the signature in an Authorization header."""
    return headers["Authorization"].rpartition("Signature=")[2]


def test_step_1_of_the_published_vector():
    """The canonical request equals the published one, byte by byte."""
    canonical = signing.canonical_request(
        "GET",
        "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
        [("marker", "13551d6b-755d-4757-b956-536f674975c0"), ("limit", "2")],
        {
            "X-Sdk-Date": "20191115T033655Z",
            "Host": "service.region.example.com",
            "Content-Type": "application/json",
        },
        b"",
    )

    assert canonical == V1_CANONICAL


def test_step_2_of_the_published_vector():
    """The string to sign holds the algorithm, the date and the hash of step 1."""
    assert signing.string_to_sign(V1_CANONICAL, "20191115T033655Z") == V1_TO_SIGN


def test_step_3_of_the_published_vector():
    """The signature of the published string equals the published one."""
    expected = "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"

    assert signing.signature(V1_TO_SIGN, V1_SECRET) == expected


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", b"", "cfb4171acec81de07d50e53d57eb77edd537414d66ddb1d7d780f128e12cd842"),
        ("POST", b'{"name":"test","id":1}', "436b1ac0a1ae03705934bb70ef2f2e09f7bfed2117d731a38235053199323a1f"),
    ],
)
def test_signature_of_the_sdk_vector(method, body, expected):
    """Signatures equal those of the SDK's unit tests; a header with an underscore is sent, but not signed."""
    headers = signing.sign(
        AccessKey("AccessKey", "SecretKey"),
        method=method,
        path="/resources",
        query=[("size", "1")],
        headers={"Host": "service.endpoint.myhuaweicloud.com", "TEST_UNDERSCORE": "TEST_VALUE"},
        body=body,
        now=seconds("20200608T023900Z"),
    )

    assert headers["Authorization"] == (
        f"SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=host;x-sdk-date, Signature={expected}"
    )
    assert headers["TEST_UNDERSCORE"] == "TEST_VALUE"


def test_query_of_the_sdk_vector():
    """The query is sorted and encoded as in the SDK's unit tests."""
    query = [
        ("limit", "1"),
        ("path", "/tmp/123"),  # noqa: S108 - a value of the vendor's test
        ("multi", "3"),
        ("multi", "1"),
        ("multi", "2"),
        ("test", "一 (&=?!#%.*)"),
        ("enable", "true"),
    ]

    assert signing.encode_query(query) == (
        "enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29"
    )


MODELARTS_VECTORS = [
    (
        "GET",
        f"{JOB_PATH}/autosearch-trials",
        [("limit", "50"), ("offset", "0")],
        b"",
        None,
        "747b041f50f44c5ce5a5d95bfaf1c453d234917a460713b8db2f56c692a37912",
        "cc385a7c407efd1c7dcbe6940a93606d113da598639625e35d342896c55384d8",
    ),
    (
        "POST",
        f"{JOB_PATH}/autosearch-trial-earlystop/ae544174",
        [],
        b"",
        "exampleSecurityToken==",
        "5f13ea81e3f22ae0691f6bb245e25820712477a6816fccfbba223987ac165881",
        "c2510db181b0d84862a080a747a8ce8852f6a9305f5eeee8be9b88adf73694cb",
    ),
    (
        "POST",
        f"{JOB_PATH}/actions",
        [],
        b'{"action_type":"terminate"}',
        None,
        "6c4055dbda089ef2e794d84a79536a36aa4debc863ba63d7b4fed4d4204fa206",
        "a84a31a1990a011669386d766d95fff915580614fb69a3f043d2c78b71e4376f",
    ),
    (
        "GET",
        f"{JOB_PATH}/autosearch-parameter-analysis/learning%20rate",
        [],
        b"",
        None,
        "e14677971a2f9eadc2547574d66b827c68b0b84d507ac6d66e69d20b0843c874",
        "1c7285b1b510a0119f32cfd5565f2c2e79aedee1d1c1d7d7f913bc0a6ce39d6c",
    ),
]
MODELARTS_HEADERS = {
    "Content-Type": "application/json",
    "Host": "modelarts.cn-north-4.myhuaweicloud.com",
    "X-Project-Id": PROJECT,
}


@pytest.mark.parametrize(("method", "path", "query", "body", "token", "canonical_hash", "expected"), MODELARTS_VECTORS)
def test_canonical_request_of_the_modelarts_vectors(method, path, query, body, token, canonical_hash, expected):
    """The canonical request has the independently computed hash."""
    headers = {**MODELARTS_HEADERS, "X-Sdk-Date": "20240102T030405Z"}
    if token:
        headers["X-Security-Token"] = token

    canonical = signing.canonical_request(method, path, query, headers, body)

    assert sha256(canonical.encode()).hexdigest() == canonical_hash


@pytest.mark.parametrize(("method", "path", "query", "body", "token", "canonical_hash", "expected"), MODELARTS_VECTORS)
def test_signature_of_the_modelarts_vectors(method, path, query, body, token, canonical_hash, expected):
    """All three steps together give the independently computed signature."""
    headers = signing.sign(
        AccessKey("EXAMPLEAK0000000000A", "exampleSecretKey" + 24 * "0", token),
        method=method,
        path=path,
        query=query,
        headers=MODELARTS_HEADERS,
        body=body,
        now=seconds("20240102T030405Z"),
    )

    assert headers["X-Sdk-Date"] == "20240102T030405Z"
    assert signature_of(headers) == expected


def random_request(rng):
    """Return a random request with characters that require encoding."""
    characters = "abcXYZ019 -._~+%&=?#[]@!$'()*,;:\"<>|^`{}\\éß一二€🚀"

    def words(max_length, alphabet=characters):
        return "".join(rng.choices(alphabet, k=rng.randint(0, max_length)))

    headers = {"Host": rng.choice(["modelarts.cn-north-4.myhuaweicloud.com", "127.0.0.1:8443"])}
    if rng.random() < 0.7:
        headers["Content-Type"] = rng.choice(["application/json", "application/json;charset=utf8"])
    if rng.random() < 0.5:
        headers["X-Project-Id"] = words(20, "0123456789abcdef")
    if rng.random() < 0.3:
        headers["x-Custom_Header"] = words(8)
    if rng.random() < 0.3:
        headers["X-Custom"] = f" {words(8)}\t"
    names = [words(6) for _ in range(3)]
    return {
        "method": rng.choice(["GET", "POST", "PUT", "DELETE", "get"]),
        "path": "".join(f"/{rng.choice([words(10), 'learning%20rate', '%E4%B8%80'])}" for _ in range(4)),
        "query": [(rng.choice(names), words(8)) for _ in range(rng.randint(0, 5))],
        "headers": headers,
        "body": rng.choice([b"", rng.randbytes(20), b'{"action_type": "terminate"}', "一".encode()]),
    }


def test_signature_of_a_thousand_requests():
    """The signatures of a thousand random requests equal those of the vendor's signer, byte by byte."""
    rng = random.Random(20240102)
    mismatches = []
    for number in range(1000):
        request = random_request(rng)
        key = AccessKey(f"AK{number}", rng.randbytes(15).hex(), rng.choice([None, rng.randbytes(20).hex()]))

        ours = signing.sign(key, **request, now=rng.uniform(0, 4e9))

        request["headers"] = {name: value for name, value in ours.items() if name != "Authorization"}
        vendor = vendor_signed(key.access_key, key.secret_key, **request)
        if ours["Authorization"] != vendor.header_params["Authorization"]:
            mismatches.append(request)

    assert mismatches == []


def test_query_of_a_thousand_requests():
    """The encoded queries of a thousand random requests equal those of the vendor's signer."""
    rng = random.Random(20240103)
    requests = [random_request(rng) for _ in range(1000)]

    vendor = [vendor_signed("AK", "SK", **{**request, "path": "/path"}).uri for request in requests]

    ours = [signing.encode_query(request["query"]) for request in requests]
    assert [f"/path?{query}" if query else "/path" for query in ours] == vendor


def test_sign_does_not_change_its_arguments():
    """The caller's headers and query are unchanged."""
    headers, query = {"Host": "example.com"}, [("b", "2"), ("a", "1")]

    signing.sign(AccessKey("AK", "SK"), method="GET", path="/", query=query, headers=headers, body=b"", now=0)

    assert (headers, query) == ({"Host": "example.com"}, [("b", "2"), ("a", "1")])


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("/v2/jobs", "/v2/jobs"),
        ("/v2/jobs/", "/v2/jobs/"),
        ("/a b", "/a%20b"),
        ("/a%20b", "/a%20b"),
        ("/一", "/%E4%B8%80"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/~a-b_c.d", "/~a-b_c.d"),
        ("/a+b", "/a%2Bb"),
        ("", ""),
    ],
)
def test_encoded_path(path, encoded):
    """A path is encoded once, even if it is encoded already, and gets no trailing slash."""
    assert signing.encode_path(path) == encoded


def test_security_token_is_sent_and_signed():
    """The token of a temporary key is sent in a header of its own, and that is signed."""
    headers = signing.sign(
        AccessKey("AK", "SK", "token=="),
        method="GET",
        path="/",
        query=[],
        headers={"Host": "example.com"},
        body=b"",
        now=0,
    )

    assert headers["X-Security-Token"] == "token=="
    assert "SignedHeaders=host;x-sdk-date;x-security-token," in headers["Authorization"]


def test_key_repr_shows_no_secret():
    """The repr of a key shows the key id, but neither secret nor token."""
    assert repr(AccessKey("AK", "hidden-secret", "hidden-token")) == "AccessKey(access_key='AK')"


HOST = "modelarts.cn-north-4.myhuaweicloud.com"

texts = st.text(max_size=8) | st.text("ab/+%20&=?#~.;\n\0é\u0308一🚀", max_size=8)
# repeated names, in any order, with values that are blank or hold separators
queries = st.lists(st.tuples(st.sampled_from(["", "a", "A", "a+b", "ä", "%41"]) | texts, texts), max_size=6)
paths = st.lists(texts | st.sampled_from(["a%20b", "%E4%B8%80", "%zz", "%2F"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
header_values = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=8)
header_values |= header_values.map(" {}\t".format)
# no content type: the vendor's signer adds a header for some of them
more_headers = st.dictionaries(st.sampled_from(["X-Project-Id", "Accept", "x-lower", "X_Under_Score"]), header_values)


@settings(quick, max_examples=300)
@given(
    st.sampled_from(["GET", "POST", "put", "Delete"]),
    paths,
    queries,
    more_headers,
    st.binary(max_size=40) | texts.map(str.encode),
    st.text(min_size=1, max_size=40),
    st.integers(0, 4_000_000_000),
)
@example("GET", "/", [("a", ""), ("a", "+"), ("a", " "), ("A", "%2B"), ("", "")], {}, b"", "secret", 0)
def test_signature_of_any_text(method, path, query, more, body, secret, now):
    """Any path, query, header, body and secret has the signature of the vendor's signer."""
    ours = signing.sign(
        AccessKey("AK", secret),
        method=method,
        path=path,
        query=query,
        headers={"Host": HOST, **more},
        body=body,
        now=now,
    )

    headers = {name: value for name, value in ours.items() if name != "Authorization"}
    vendor = vendor_signed("AK", secret, method, path, query, headers, body)
    assert ours["Authorization"] == vendor.header_params["Authorization"]


@quick
@given(queries)
def test_query_of_any_text_is_decodable(query):
    """A decoder returns every pair of a query, even repeated and blank ones, in sorted order."""
    decoded = parse_qsl(signing.encode_query(query), keep_blank_values=True, max_num_fields=100)

    assert decoded == sorted(query)


@quick
@given(paths)
def test_path_of_any_text_stays_one_path(path):
    """No text in a path becomes a query, a fragment or a host, and encoding twice changes nothing."""
    encoded = signing.encode_path(path)

    parts = urlsplit(f"https://{HOST}{encoded}")
    assert (parts.netloc, parts.path, parts.query, parts.fragment) == (HOST, encoded, "", "")
    assert encoded.count("/") == unquote(path).count("/")
    assert encoded.isascii()
    assert signing.encode_path(encoded) == encoded or "%" in unquote(path)
