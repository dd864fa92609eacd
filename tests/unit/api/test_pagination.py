"""Pagination, against small servers that count rows or pages."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from unit.builders import page, quick

from airflow_provider_modelarts.api import pagination
from airflow_provider_modelarts.core.trials import TrialPage
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

ROWS = "rows"
PAGES = "pages"
MEANINGS = [ROWS, PAGES]

page_sizes = st.integers(1, 50)
meanings = st.sampled_from(MEANINGS)


class Server:
    """A listing whose ``offset`` counts rows or pages.

    :param promised: its ``total``, where that is not the number of its rows.
    :param largest_page: it gives no more rows than that, whatever it is asked for.
    :param overlap: how many rows of a page the next one repeats (where it counts pages).
    :param changes: what happens to the table before the answer to a request, by the number of the request from 0.
    """

    def __init__(
        self,
        rows: list[str],
        meaning: str,
        *,
        promised: int | None = None,
        largest_page: int = 50,
        overlap: int = 0,
        changes: dict[int, Callable[[list[str]], None]] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.meaning = meaning
        self.promised = promised
        self.largest_page = largest_page
        self.overlap = overlap
        self.changes = changes or {}
        self.offsets: list[int] = []

    def answer(self, limit: int, offset: int) -> TrialPage:
        """Answer one request."""
        self.changes.get(len(self.offsets), lambda rows: None)(self.rows)
        self.offsets.append(offset)
        limit = min(limit, self.largest_page)
        start = offset if self.meaning == ROWS else offset * (limit - self.overlap)
        total = len(self.rows) if self.promised is None else self.promised
        return page(self.rows[start : start + limit], total, limit)


class Script:
    """A server that answers the same pages in turn, whatever it is asked."""

    def __init__(self, *pages: TrialPage) -> None:
        self.pages = pages
        self.offsets: list[int] = []

    def answer(self, limit: int, offset: int) -> TrialPage:
        """Answer one request."""
        self.offsets.append(offset)
        return self.pages[(len(self.offsets) - 1) % len(self.pages)]


def read(server, page_size=50, *, partial=False):
    """Return the ids that the walk finds on a server."""
    walk = pagination.walk(page_size, partial=partial)
    step = next(walk)
    listed = []
    while step.offset is not None:
        step = walk.send(server.answer(page_size, step.offset))
        listed += [trial.trial_id for trial in step.trials]
    return listed


def rows(count, name="t"):
    """Return the ids of some trials."""
    return [f"{name}{number}" for number in range(count)]


def most_requests(total, first_page):
    """Return the bound of the walk: three passes of as many pages as the first one promises, and some to spare."""
    return 3 * (3 + total // max(first_page, 1))


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("page_size", range(1, 51))
def test_walk_of_137_trials(meaning, page_size):
    """All of 137 trials are read once each, in order, in both meanings of offset, for every page size."""
    assert read(Server(rows(137), meaning), page_size) == rows(137)


@quick
@given(st.integers(0, 200), page_sizes)
def test_walk_counting_pages_costs_no_extra_request(count, page_size):
    """Where offset counts pages, there is one request for each page, and one for an empty listing."""
    server = Server(rows(count), PAGES)

    assert read(server, page_size) == rows(count)
    assert server.offsets == list(range(max(1, ceil(count / page_size))))


@quick
@given(st.integers(0, 200), page_sizes)
def test_walk_counting_rows_costs_one_extra_request_at_most(count, page_size):
    """Where offset counts rows, finding that out costs one more request at most."""
    server = Server(rows(count), ROWS)

    assert read(server, page_size) == rows(count)
    assert len(server.offsets) <= max(1, ceil(count / page_size)) + 1


@pytest.mark.parametrize(
    ("meaning", "offsets"),
    [(PAGES, [0, 1, 2]), (ROWS, [0, 1, 51, 101])],
)
def test_walk_offsets(meaning, offsets):
    """The second response shows what offset counts, and the walk steps accordingly."""
    server = Server(rows(137), meaning)

    read(server)

    assert server.offsets == offsets


def test_walk_yields_trials_as_their_pages_arrive():
    """Each step holds what its page brought, so that a caller can stream."""
    walk = pagination.walk(2)
    next(walk)

    first = walk.send(page(["a", "b"], 3, 2))
    last = walk.send(page(["c"], 3, 2))

    assert ([trial.trial_id for trial in first.trials], first.offset) == (["a", "b"], 1)
    assert ([trial.trial_id for trial in last.trials], last.offset) == (["c"], None)


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("partial", [False, True])
def test_walk_of_a_server_with_smaller_pages(meaning, partial):
    """A server that sends fewer rows than requested, by its limit, is read completely."""
    server = Server(rows(137), meaning, largest_page=10)

    assert read(server, partial=partial) == rows(137)


@quick
@given(meanings, st.integers(0, 120), page_sizes, st.integers(1, 4), st.integers(1, 50))
def test_walk_of_a_table_that_grows(meaning, count, page_size, request, more):
    """A table that grows at its end between two pages is read to its new end, once each."""
    assume(more <= page_size)
    server = Server(rows(count), meaning, changes={request: lambda table: table.extend(rows(more, "new"))})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


def test_walk_of_a_table_that_grows_to_a_multiple():
    """A table that is eleven times as long as its first page promised is still read to its end."""
    server = Server(rows(2), PAGES, changes={1: lambda table: table.extend(rows(20, "new"))})

    assert sorted(read(server, 1)) == sorted(server.rows)


@pytest.mark.parametrize("meaning", MEANINGS)
@quick
@given(st.integers(1, 137), page_sizes, st.integers(1, 4), st.integers(1, 50))
def test_walk_of_a_table_that_shifts(meaning, count, page_size, request, more):
    """A table into whose front rows are put between two pages is read again, and no row is missed or given twice."""
    assume(more <= page_size)

    def shift(table):
        table[:0] = rows(more, "new")

    server = Server(rows(count), meaning, changes={request: shift})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


@pytest.mark.parametrize("meaning", MEANINGS)
@quick
@given(st.integers(1, 137), page_sizes, st.integers(1, 4), st.randoms(use_true_random=False))
def test_walk_of_a_table_that_is_sorted_anew(meaning, count, page_size, request, random):
    """A table whose order changes between two pages is read again until nothing is missing."""
    server = Server(rows(count), meaning, changes={request: random.shuffle})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


@quick
@given(meanings, st.integers(1, 137), page_sizes, st.integers(1, 4), st.integers(1, 137))
def test_walk_of_a_table_that_loses_its_end(meaning, count, page_size, request, fewer):
    """A table that shrinks at its end is no error: every row that is left was read, none twice."""

    def shrink(table):
        del table[max(0, len(table) - fewer) :]

    server = Server(rows(count), meaning, changes={request: shrink})

    listed = read(server, page_size)

    assert set(server.rows) <= set(listed)
    assert len(listed) == len(set(listed))


def test_walk_of_a_table_that_loses_its_front():
    """A row that moves to a page already read, because one before it is gone, is not missed in silence."""
    server = Server(rows(137), PAGES, changes={1: lambda table: table.pop(0)})

    assert set(server.rows) <= set(read(server))


@quick
@given(st.integers(0, 137), st.integers(10, 50))
def test_walk_of_pages_that_overlap(count, page_size):
    """The last row of a page, which the next one repeats, is given once."""
    server = Server(rows(count), PAGES, overlap=1, promised=count)

    assert read(server, page_size) == rows(count)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_walk_of_rows_listed_twice(meaning):
    """A trial that has two rows is given once."""
    twice = [name for name in rows(70) for _ in range(2)]

    assert read(Server(twice, meaning, promised=70)) == rows(70)


def test_walk_of_more_rows_than_promised():
    """Rows beyond the total are given as well: they are there."""
    assert read(Script(page(rows(8), 5))) == rows(8)


@pytest.mark.parametrize("partial", [False, True])
def test_walk_of_a_server_that_repeats_its_page(partial):
    """A server that answers the same page for ever is an error within its bound of requests, also of a job at work."""
    server = Script(page(rows(50), 137, 50))

    with pytest.raises(ModelArtsProtocolError, match="reports 137 trials but repeats its pages after 50"):
        read(server, partial=partial)

    assert len(server.offsets) <= most_requests(137, 50)


def test_walk_of_a_server_that_repeats_its_page_stops_early():
    """The same page twice is enough to know: three passes of two requests, not as many as the total allows."""
    server = Script(page(rows(50), 1_000_000, 50))

    with pytest.raises(ModelArtsProtocolError):
        read(server)

    assert len(server.offsets) == 6


def test_walk_of_a_server_that_alternates():
    """A server that answers two pages in turn for ever is an error within its bound of requests."""
    server = Script(page(rows(50, "a"), 500, 50), page(rows(50, "b"), 500, 50))

    with pytest.raises(ModelArtsProtocolError, match="reports 500 trials"):
        read(server)

    assert len(server.offsets) <= most_requests(500, 50)


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize(("listed", "promised"), [(0, 1), (3, 8), (49, 50), (50, 51), (100, 137), (137, 138)])
def test_walk_of_a_server_that_promises_more_than_it_lists(meaning, listed, promised):
    """Fewer trials than promised are an error that counts them, within its bound of requests."""
    server = Server(rows(listed), meaning, promised=promised)

    with pytest.raises(ModelArtsProtocolError, match=f"reports {promised} trials but lists only {listed};"):
        read(server)

    assert len(server.offsets) <= most_requests(promised, min(listed, 50))


@pytest.mark.parametrize(
    ("meaning", "listed", "promised", "requests"),
    [
        (PAGES, 0, 8, 1),
        (ROWS, 0, 8, 1),
        (PAGES, 3, 8, 1),
        (ROWS, 3, 8, 1),
        (PAGES, 50, 60, 2),
        (ROWS, 50, 60, 2),
        (PAGES, 60, 80, 2),
        (ROWS, 60, 80, 3),
        (PAGES, 60, 60, 2),
        (ROWS, 60, 60, 3),
    ],
)
def test_walk_of_a_job_at_work(meaning, listed, promised, requests):
    """While a job is at work, fewer trials than promised are those it has so far, at no request too many."""
    server = Server(rows(listed), meaning, promised=promised)

    assert read(server, partial=True) == rows(listed)
    assert len(server.offsets) == requests


hostile_pages = st.builds(
    page,
    st.lists(st.integers(0, 30).map(str), max_size=6),
    st.integers(0, 40),
    st.none() | st.integers(0, 6),
)


@quick
@given(st.lists(hostile_pages, min_size=1, max_size=12), st.integers(1, 6), st.booleans())
def test_walk_of_a_hostile_server(pages, page_size, partial):
    """Whatever a server answers, the walk ends within its bound, gives no trial twice, and no part in silence."""
    server = Script(*pages)

    try:
        listed = read(server, page_size, partial=partial)
    except ModelArtsProtocolError:
        listed = None

    assert len(server.offsets) <= most_requests(max(page.total for page in pages), 1)
    if listed is not None:
        last = pages[(len(server.offsets) - 1) % len(pages)]
        assert len(listed) == len(set(listed))
        assert partial or len(listed) >= last.total


@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_page_size_that_the_platform_takes(page_size):
    """The platform takes 1 to 50 trials on a page."""
    assert pagination.checked_page_size(page_size) == page_size


@pytest.mark.parametrize("page_size", [0, -1, 51, 1000])
def test_page_size_that_the_platform_refuses(page_size):
    """A page size that the platform would refuse is an error that names it, before anything is sent."""
    with pytest.raises(ModelArtsConfigurationError, match=f"page_size must be from 1 to 50, not {page_size}"):
        pagination.checked_page_size(page_size)
