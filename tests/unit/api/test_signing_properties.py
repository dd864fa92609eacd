"""Signatures of requests that hold any text at all, against the vendor's own signer."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.builders import quick, vendor_signed

from airflow_provider_modelarts.api import signing
from airflow_provider_modelarts.api.signing import AccessKey

HOST = "modelarts.cn-north-4.myhuaweicloud.com"

texts = st.text(max_size=8) | st.text("ab/+%20&=?#~.;\n\0é\u0308一🚀", max_size=8)
# names that repeat, in any order, with values that are blank or hold what separates
queries = st.lists(st.tuples(st.sampled_from(["", "a", "A", "a+b", "ä", "%41"]) | texts, texts), max_size=6)
paths = st.lists(texts | st.sampled_from(["a%20b", "%E4%B8%80", "%zz", "%2F"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
header_values = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=8)
header_values |= header_values.map(" {}\t".format)
# not of another content type, for which the vendor's signer adds a header of its own
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
def test_signature_of_any_text_is_the_vendors(method, path, query, more, body, secret, now):
    """Paths, queries with repeated and blank names, headers, bodies and secrets of any text are signed alike."""
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
def test_query_of_any_text_arrives_as_it_was(query):
    """Who decodes the query reads each pair again, repeated and blank ones too, in a fixed order."""
    decoded = parse_qsl(signing.encode_query(query), keep_blank_values=True, max_num_fields=100)

    assert decoded == sorted(query)


@quick
@given(paths)
def test_path_of_any_text_stays_one_path(path):
    """Nothing in a path can become a query, a fragment or another host, and encoding again changes nothing."""
    encoded = signing.encode_path(path)

    parts = urlsplit(f"https://{HOST}{encoded}")
    assert (parts.netloc, parts.path, parts.query, parts.fragment) == (HOST, encoded, "", "")
    assert encoded.count("/") == unquote(path).count("/")
    assert encoded.isascii()
    assert signing.encode_path(encoded) == encoded or "%" in unquote(path)
