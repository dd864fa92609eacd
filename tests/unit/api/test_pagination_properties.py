"""Pagination of a table that changes between requests, against a model of the platform.

Bound of requests. Pages of ``f`` rows, as many as the first page has, list ``T`` trials in ``T // f + 1`` requests. One
more may find out what ``offset`` counts, and one more may return an empty page. The table is read three times at most
(once while its job is active). So a walk sends at most ``3 * (T // f + 3)`` requests, where ``T`` is the largest
promised total.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st
from unit.builders import page, quick

from airflow_provider_modelarts.api.flows import read_listing
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

PASSES = 3


@dataclass
class Platform:
    """Table of trials that changes before each request.

    :param rows: ids of trials; a trial may have several rows.
    :param counts_pages: whether ``offset`` counts pages, not rows.
    :param largest_page: maximum rows on a page.
    :param total_counts_rows: whether a trial with two rows counts twice in ``total``.
    :param wraps: whether the table starts over after its last row, instead of ending.
    :param changes: change before each request; none after the last.
    """

    rows: list[str]
    counts_pages: bool
    largest_page: int = 50
    total_counts_rows: bool = False
    wraps: bool = False
    changes: tuple = ()
    totals: list[int] = field(default_factory=list)
    first_page: int = 0

    def respond(self, limit: int, offset: int):
        """Apply the next change, and return a page of the table."""
        if len(self.totals) < len(self.changes):
            self._change(*self.changes[len(self.totals)])
        size = min(limit, self.largest_page)
        start = offset * size if self.counts_pages else offset
        if self.wraps and self.rows:
            start %= len(self.rows)
        listed = self.rows[start : start + size]
        self.totals.append(len(self.rows) if self.total_counts_rows else len(set(self.rows)))
        self.first_page = self.first_page or len(listed)
        return page(listed, self.totals[-1], size)

    @property
    def bound(self) -> int:
        """Maximum requests of a walk, as derived at the top of this file."""
        return PASSES * (max(self.totals) // max(self.first_page, 1) + 3)

    def _change(self, kind: str, number: int) -> None:
        new = [f"new{len(self.totals)}-{count}" for count in range(number)]
        if kind == "grow":
            self.rows += new
        elif kind == "shift":
            self.rows[:0] = new
        elif kind == "rotate":
            self.rows = self.rows[number:] + self.rows[:number]
        elif kind == "twice" and self.rows:
            self.rows.insert(number % len(self.rows), self.rows[-number % len(self.rows)])


def changes(*kinds, most=8):
    """Return a strategy of the changes before each request, some of which change nothing."""
    change = st.tuples(st.sampled_from(["nothing", "nothing", *kinds]), st.integers(1, 7))
    return st.lists(change, max_size=most).map(tuple)


def platforms(table_changes, **fields):
    """Return a strategy of platforms with these changes."""
    rows = st.integers(0, 40).map(lambda count: [f"t{number}" for number in range(count)])
    return st.builds(
        Platform, rows, st.booleans(), largest_page=st.sampled_from([1, 2, 3, 7, 50]), changes=table_changes, **fields
    )


def walk(platform, page_size, *, partial=False):
    """Return the listing of a platform's table; None if the walk raises a protocol error."""
    flow = read_listing("job-1", page_size=page_size, partial=partial)
    try:
        request = next(flow)
        while True:
            query = dict(request.query)
            request = flow.send(platform.respond(int(query["limit"]), int(query["offset"])))
    except StopIteration as end:
        return end.value
    except ModelArtsProtocolError:
        return None


page_sizes = st.integers(1, 12)
every_change = changes("grow", "shift", "rotate", "twice")


@quick
@given(platforms(every_change, total_counts_rows=st.booleans()), page_sizes)
def test_walk_of_a_changing_table_is_complete_or_an_error(platform, page_size):
    """A table that grows, shifts, rotates and repeats rows is listed with each trial once, or an error is raised."""
    listing = walk(platform, page_size)

    if listing is not None:
        listed = [trial.trial_id for trial in listing.trials]
        assert sorted(listed) == sorted(set(platform.rows))


@quick
@given(platforms(every_change, total_counts_rows=st.booleans(), wraps=st.booleans()), page_sizes, st.booleans())
@example(Platform(["a", "b", "a", "c"], counts_pages=False, total_counts_rows=True, wraps=True), 1, False)
def test_walk_of_a_changing_table_ends_within_its_bound(platform, page_size, partial):
    """The promised totals bound the number of requests, as derived at the top of this file."""
    walk(platform, page_size, partial=partial)

    assert len(platform.totals) <= platform.bound


@quick
@given(platforms(changes("grow", "shift", "rotate", most=2)), page_sizes)
def test_walk_of_a_table_that_changes_at_first_is_complete(platform, page_size):
    """A table that changes only before the first two requests is listed completely."""
    listing = walk(platform, page_size)

    assert listing is not None
    assert sorted(trial.trial_id for trial in listing.trials) == sorted(platform.rows)


@quick
@given(platforms(changes("twice", most=1)), st.integers(3, 12))
def test_walk_of_a_table_with_a_duplicate_row_is_complete(platform, page_size):
    """A duplicate row neither hides another trial nor is listed twice."""
    platform.largest_page = 50
    listing = walk(platform, page_size)

    assert listing is not None
    assert sorted(trial.trial_id for trial in listing.trials) == sorted(set(platform.rows))


@quick
@given(platforms(every_change, total_counts_rows=st.booleans()), page_sizes)
def test_walk_of_an_active_job_reveals_missing_trials(platform, page_size):
    """A partial listing of an active job has a total above its number of trials."""
    listing = walk(platform, page_size, partial=True)

    if listing is not None:
        listed = [trial.trial_id for trial in listing.trials]
        assert len(listed) == len(set(listed))
        assert set(listed) <= set(platform.rows)
        assert set(listed) == set(platform.rows) or len(listed) < listing.total
