"""Pagination, against small servers whose offset counts rows or pages."""

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
UNITS = [ROWS, PAGES]

page_sizes = st.integers(1, 50)
units = st.sampled_from(UNITS)


class Server:
    """Listing whose ``offset`` counts rows or pages.

    :param promised: its ``total``, if that differs from the number of rows.
    :param largest_page: maximum rows on a page.
    :param overlap: number of rows that two pages share (where offset counts pages).
    :param changes: change of the table before the response to a request, by the number of the request from 0.
    """

    def __init__(
        self,
        rows: list[str],
        unit: str,
        *,
        promised: int | None = None,
        largest_page: int = 50,
        overlap: int = 0,
        changes: dict[int, Callable[[list[str]], None]] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.unit = unit
        self.promised = promised
        self.largest_page = largest_page
        self.overlap = overlap
        self.changes = changes or {}
        self.offsets: list[int] = []

    def respond(self, limit: int, offset: int) -> TrialPage:
        """Respond to one request."""
        self.changes.get(len(self.offsets), lambda rows: None)(self.rows)
        self.offsets.append(offset)
        limit = min(limit, self.largest_page)
        start = offset if self.unit == ROWS else offset * (limit - self.overlap)
        total = len(self.rows) if self.promised is None else self.promised
        return page(self.rows[start : start + limit], total, limit)


class Script:
    """Server that returns fixed pages in turn, and ignores the request."""

    def __init__(self, *pages: TrialPage) -> None:
        self.pages = pages
        self.offsets: list[int] = []

    def respond(self, limit: int, offset: int) -> TrialPage:
        """Respond to one request."""
        self.offsets.append(offset)
        return self.pages[(len(self.offsets) - 1) % len(self.pages)]


def read(server, page_size=50, *, partial=False):
    """Return the trial ids that a walk yields from a server."""
    walk = pagination.walk(page_size, partial=partial)
    step = next(walk)
    listed = []
    while step.offset is not None:
        step = walk.send(server.respond(page_size, step.offset))
        listed += [trial.trial_id for trial in step.trials]
    return listed


def rows(count, name="t"):
    """Return the ids of some trials."""
    return [f"{name}{number}" for number in range(count)]


def max_requests(total, first_page):
    """Return the bound of a walk: three passes over the pages that the first one promises, and some to spare."""
    return 3 * (3 + total // max(first_page, 1))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("page_size", range(1, 51))
def test_walk_of_137_trials(unit, page_size):
    """All 137 trials are yielded once each, in order, for both units of offset and every page size."""
    assert read(Server(rows(137), unit), page_size) == rows(137)


@quick
@given(st.integers(0, 200), page_sizes)
def test_walk_counting_pages_costs_no_extra_request(count, page_size):
    """A walk that counts pages sends one request for each page, or one for an empty listing."""
    server = Server(rows(count), PAGES)

    assert read(server, page_size) == rows(count)
    assert server.offsets == list(range(max(1, ceil(count / page_size))))


@quick
@given(st.integers(0, 200), page_sizes)
def test_walk_counting_rows_costs_one_extra_request_at_most(count, page_size):
    """A walk that counts rows sends at most one extra request, to learn the unit of offset."""
    server = Server(rows(count), ROWS)

    assert read(server, page_size) == rows(count)
    assert len(server.offsets) <= max(1, ceil(count / page_size)) + 1


@pytest.mark.parametrize(
    ("unit", "offsets"),
    [(PAGES, [0, 1, 2]), (ROWS, [0, 1, 51, 101])],
)
def test_walk_offsets(unit, offsets):
    """The second response reveals the unit of offset, in which the walk continues."""
    server = Server(rows(137), unit)

    read(server)

    assert server.offsets == offsets


def test_walk_yields_trials_as_their_pages_arrive():
    """Each step holds the trials of its page, so that a caller can stream."""
    walk = pagination.walk(2)
    next(walk)

    first = walk.send(page(["a", "b"], 3, 2))
    last = walk.send(page(["c"], 3, 2))

    assert ([trial.trial_id for trial in first.trials], first.offset) == (["a", "b"], 1)
    assert ([trial.trial_id for trial in last.trials], last.offset) == (["c"], None)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("partial", [False, True])
def test_walk_of_a_server_with_smaller_pages(unit, partial):
    """A server that limits pages to fewer rows than requested is read completely."""
    server = Server(rows(137), unit, largest_page=10)

    assert read(server, partial=partial) == rows(137)


@quick
@given(units, st.integers(0, 120), page_sizes, st.integers(1, 4), st.integers(1, 50))
def test_walk_of_a_table_that_grows(unit, count, page_size, request, more):
    """A table that grows at its end between two pages is read to its new end, each row once."""
    assume(more <= page_size)
    server = Server(rows(count), unit, changes={request: lambda table: table.extend(rows(more, "new"))})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


def test_walk_of_a_table_that_grows_to_a_multiple():
    """A table that grows to eleven times its promised length is read to its end."""
    server = Server(rows(2), PAGES, changes={1: lambda table: table.extend(rows(20, "new"))})

    assert sorted(read(server, 1)) == sorted(server.rows)


@pytest.mark.parametrize("unit", UNITS)
@quick
@given(st.integers(1, 137), page_sizes, st.integers(1, 4), st.integers(1, 50))
def test_walk_of_a_table_that_shifts(unit, count, page_size, request, more):
    """A table with new rows at its front is read again, so that no row is missed or yielded twice."""
    assume(more <= page_size)

    def shift(table):
        table[:0] = rows(more, "new")

    server = Server(rows(count), unit, changes={request: shift})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


@pytest.mark.parametrize("unit", UNITS)
@quick
@given(st.integers(1, 137), page_sizes, st.integers(1, 4), st.randoms(use_true_random=False))
def test_walk_of_a_table_that_is_reordered(unit, count, page_size, request, random):
    """A table whose order changes between two pages is read again until no row is missing."""
    server = Server(rows(count), unit, changes={request: random.shuffle})

    listed = read(server, page_size)

    assert sorted(listed) == sorted(server.rows)


@quick
@given(units, st.integers(1, 137), page_sizes, st.integers(1, 4), st.integers(1, 137))
def test_walk_of_a_table_that_loses_its_end(unit, count, page_size, request, fewer):
    """A table that shrinks at its end is allowed: every remaining row is yielded, and none twice."""

    def shrink(table):
        del table[max(0, len(table) - fewer) :]

    server = Server(rows(count), unit, changes={request: shrink})

    listed = read(server, page_size)

    assert set(server.rows) <= set(listed)
    assert len(listed) == len(set(listed))


def test_walk_of_a_table_that_loses_its_front():
    """A row that moves to an earlier page between two requests is not missed."""
    server = Server(rows(137), PAGES, changes={1: lambda table: table.pop(0)})

    assert set(server.rows) <= set(read(server))


@quick
@given(st.integers(0, 137), st.integers(10, 50))
def test_walk_of_pages_that_overlap(count, page_size):
    """A row that two pages share is yielded once."""
    server = Server(rows(count), PAGES, overlap=1, promised=count)

    assert read(server, page_size) == rows(count)


@pytest.mark.parametrize("unit", UNITS)
def test_walk_of_rows_listed_twice(unit):
    """A trial with two rows is yielded once."""
    twice = [name for name in rows(70) for _ in range(2)]

    assert read(Server(twice, unit, promised=70)) == rows(70)


def test_walk_of_more_rows_than_promised():
    """Rows beyond the total are yielded as well."""
    assert read(Script(page(rows(8), 5))) == rows(8)


@pytest.mark.parametrize("partial", [False, True])
def test_walk_of_a_server_that_repeats_its_page(partial):
    """A server that returns the same page forever is an error within the bound, even for an active job."""
    server = Script(page(rows(50), 137, 50))

    with pytest.raises(ModelArtsProtocolError, match="reports 137 trials but repeats its pages after 50"):
        read(server, partial=partial)

    assert len(server.offsets) <= max_requests(137, 50)


def test_walk_of_a_server_that_repeats_its_page_stops_early():
    """Each of the three passes ends when its second page repeats the first, however large the total is."""
    server = Script(page(rows(50), 1_000_000, 50))

    with pytest.raises(ModelArtsProtocolError):
        read(server)

    assert len(server.offsets) == 6


def test_walk_of_a_server_that_alternates():
    """A server that returns two pages in turn forever is an error within the bound."""
    server = Script(page(rows(50, "a"), 500, 50), page(rows(50, "b"), 500, 50))

    with pytest.raises(ModelArtsProtocolError, match="reports 500 trials"):
        read(server)

    assert len(server.offsets) <= max_requests(500, 50)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("listed", "promised"), [(0, 1), (3, 8), (49, 50), (50, 51), (100, 137), (137, 138)])
def test_walk_of_a_server_that_promises_more_than_it_lists(unit, listed, promised):
    """Fewer trials than promised are an error that counts them, within the bound."""
    server = Server(rows(listed), unit, promised=promised)

    with pytest.raises(ModelArtsProtocolError, match=f"reports {promised} trials but lists only {listed};"):
        read(server)

    assert len(server.offsets) <= max_requests(promised, min(listed, 50))


@pytest.mark.parametrize(
    ("unit", "listed", "promised", "requests"),
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
def test_walk_of_an_active_job(unit, listed, promised, requests):
    """A partial walk yields the trials that are listed so far, without requests in vain."""
    server = Server(rows(listed), unit, promised=promised)

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
    """For any responses, a walk ends within its bound, yields no trial twice, and omits none unless partial."""
    server = Script(*pages)

    try:
        listed = read(server, page_size, partial=partial)
    except ModelArtsProtocolError:
        listed = None

    assert len(server.offsets) <= max_requests(max(page.total for page in pages), 1)
    if listed is not None:
        last = pages[(len(server.offsets) - 1) % len(pages)]
        assert len(listed) == len(set(listed))
        assert partial or len(listed) >= last.total


@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_page_size_within_the_limits(page_size):
    """A page may hold 1 to 50 trials."""
    assert pagination.checked_page_size(page_size) == page_size


@pytest.mark.parametrize("page_size", [0, -1, 51, 1000])
def test_page_size_beyond_the_limits(page_size):
    """A page size beyond the platform's limits is an error that names it."""
    with pytest.raises(ModelArtsConfigurationError, match=f"page_size must be from 1 to 50, not {page_size}"):
        pagination.checked_page_size(page_size)
