"""Signature that the emulator expects, compared with the vendor's own signer."""

from __future__ import annotations

from urllib.parse import quote, unquote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.builders import quick, vendor_signed

from modelarts_emulator.signing import Authorization, ReceivedRequest, canonical_request, expected_signature

HOST = "modelarts.cn-north-4.myhuaweicloud.com"

texts = st.text(max_size=8) | st.text("ab/+%20&=?#~.;\n\0é\u0308一🚀", max_size=8)
queries = st.lists(st.tuples(st.sampled_from(["", "a", "A", "a+b", "ä", "%41"]) | texts, texts), max_size=6)
paths = st.lists(texts | st.sampled_from(["a%20b", "%E4%B8%80", "%zz", "%2F"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
header_values = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8)
header_values |= header_values.map(" {}\t".format)
headers_to_sign = st.dictionaries(
    st.sampled_from(["X-Project-Id", "Accept", "x-lower", "X_Under_Score"]), header_values
)
content_types = st.sampled_from([None, "application/json", "application/json; charset=utf-8", "text/plain"])


@settings(quick, max_examples=300)
@given(
    st.sampled_from(["GET", "POST", "put", "Delete"]),
    paths,
    queries,
    headers_to_sign,
    content_types,
    st.binary(max_size=40) | texts.map(str.encode),
    st.text(min_size=1, max_size=40),
)
@example("GET", "/", [("a", ""), ("a", "+"), ("a", " "), ("A", "%2B"), ("", "")], {}, None, b"", "secret")
@example("POST", "/", [], {}, "text/plain", b"not hashed", "secret")
def test_signature_of_any_request(method, path, query, headers, content_type, body, secret):
    """The expected signature of any request is the vendor's, also for encoded text and unsigned bodies."""
    headers = {"Host": HOST, "X-Sdk-Date": "20260101T000000Z", **headers}
    headers |= {"Content-Type": content_type} if content_type else {}

    vendor = vendor_signed("AK", secret, method, path, query, headers, body)

    authorization = Authorization.parse(vendor.header_params["Authorization"])
    assert authorization.access_key == "AK"
    # the vendor prepares its headers for http.client, which sends them as Latin-1; aiohttp reads UTF-8
    wire = {name.lower(): value.encode("latin-1").decode() for name, value in vendor.header_params.items()}
    query_sent = vendor.uri.removeprefix(path).removeprefix("?")
    request = ReceivedRequest(method, quote(unquote(path), safe="/~"), query_sent, wire, body)
    assert expected_signature(request, authorization.signed_headers, secret) == authorization.signature


def test_canonical_request_of_the_documented_example():
    """The canonical request and the signature equal the published example."""
    headers = {
        "content-type": "application/json",
        "host": "service.region.example.com",
        "x-sdk-date": "20191115T033655Z",
    }
    query = "marker=13551d6b-755d-4757-b956-536f674975c0&limit=2"
    request = ReceivedRequest("GET", "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs", query, headers, b"")

    assert canonical_request(request, ["x-sdk-date", "host", "content-type"]).decode().split("\n") == [
        "GET",
        "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs/",
        "limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        "content-type:application/json",
        "host:service.region.example.com",
        "x-sdk-date:20191115T033655Z",
        "",
        "content-type;host;x-sdk-date",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]
    secret = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"
    signature = "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
    assert expected_signature(request, list(headers), secret) == signature


def test_canonical_request_with_a_header_that_is_not_utf_8():
    """A header that is not UTF-8, which aiohttp decodes as surrogates, keeps its bytes."""
    headers = {"host": HOST, "x-sdk-date": "20260101T000000Z", "x-odd": b"\xff".decode(errors="surrogateescape")}

    assert canonical_request(ReceivedRequest("GET", "/", "", headers, b""), list(headers)).count(b"\xff") == 1
