"""Pagination of a table that changes between any two requests, against a model of the platform.

The bound. Pages of ``f`` rows, as many as the first one has, cover ``T`` trials in ``T // f + 1`` requests; one more
may be spent on learning what ``offset`` counts, and one more on an empty page. The table is read three times at most
(once while its job is at work). So no walk sends more than ``3 * (T // f + 3)`` requests, ``T`` being the largest
total that it was promised.
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
    """A table of trials, and what happens to it before each request.

    :param rows: ids of trials; one may have several rows.
    :param counts_pages: what ``offset`` counts.
    :param largest_page: it gives no more rows than that, whatever it is asked for.
    :param total_counts_rows: whether a trial with two rows counts twice in ``total``.
    :param wraps: it begins anew behind its last row, instead of answering nothing.
    :param changes: the change before each request; none after the last.
    """

    rows: list[str]
    counts_pages: bool
    largest_page: int = 50
    total_counts_rows: bool = False
    wraps: bool = False
    changes: tuple = ()
    totals: list[int] = field(default_factory=list)
    first_page: int = 0

    def answer(self, limit: int, offset: int):
        """Let the next change happen, and answer with a page of the table as it is then."""
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
        """How many requests a walk may send; see the top of this file."""
        return PASSES * (max(self.totals) // max(self.first_page, 1) + 3)

    def _change(self, kind: str, number: int) -> None:
        new = [f"new{len(self.totals)}-{count}" for count in range(number)]
        if kind == "grow":
            self.rows += new
        elif kind == "shift":
            self.rows[:0] = new
        elif kind == "turn":
            self.rows = self.rows[number:] + self.rows[:number]
        elif kind == "twice" and self.rows:
            self.rows.insert(number % len(self.rows), self.rows[-number % len(self.rows)])


def changes(*kinds, most=8):
    """Return a strategy of what happens before each request; nothing, more often than not."""
    change = st.tuples(st.sampled_from(["nothing", "nothing", *kinds]), st.integers(1, 7))
    return st.lists(change, max_size=most).map(tuple)


def platforms(happening, **fields):
    """Return a strategy of platforms to which something happens."""
    rows = st.integers(0, 40).map(lambda count: [f"t{number}" for number in range(count)])
    return st.builds(
        Platform, rows, st.booleans(), largest_page=st.sampled_from([1, 2, 3, 7, 50]), changes=happening, **fields
    )


def walk(platform, page_size, *, partial=False):
    """Return what is listed of a platform's table; None when that is refused."""
    flow = read_listing("job-1", page_size=page_size, partial=partial)
    try:
        request = next(flow)
        while True:
            query = dict(request.query)
            request = flow.send(platform.answer(int(query["limit"]), int(query["offset"])))
    except StopIteration as end:
        return end.value
    except ModelArtsProtocolError:
        return None


page_sizes = st.integers(1, 12)
everything = changes("grow", "shift", "turn", "twice")


@quick
@given(platforms(everything, total_counts_rows=st.booleans()), page_sizes)
def test_walk_is_complete_or_refused_whatever_happens_meanwhile(platform, page_size):
    """A table that grows, shifts, turns and repeats rows is listed whole and once each, or refused; never a part."""
    listing = walk(platform, page_size)

    if listing is not None:
        listed = [trial.trial_id for trial in listing.trials]
        assert sorted(listed) == sorted(set(platform.rows))


@quick
@given(platforms(everything, total_counts_rows=st.booleans(), wraps=st.booleans()), page_sizes, st.booleans())
@example(Platform(["a", "b", "a", "c"], counts_pages=False, total_counts_rows=True, wraps=True), 1, False)
def test_walk_ends_within_its_bound_whatever_happens_meanwhile(platform, page_size, partial):
    """The number of requests is bounded by what the pages promise; see the top of this file for the bound."""
    walk(platform, page_size, partial=partial)

    assert len(platform.totals) <= platform.bound


@quick
@given(platforms(changes("grow", "shift", "turn", most=2)), page_sizes)
def test_walk_of_a_table_that_changes_at_first_is_complete(platform, page_size):
    """What changes before the first two requests is no reason to refuse: a later pass finds all of it."""
    listing = walk(platform, page_size)

    assert listing is not None
    assert sorted(trial.trial_id for trial in listing.trials) == sorted(platform.rows)


@quick
@given(platforms(changes("twice", most=1)), st.integers(3, 12))
def test_walk_of_a_still_table_with_a_row_twice_is_complete(platform, page_size):
    """A row that is listed twice neither hides another trial nor comes out twice."""
    platform.largest_page = 50
    listing = walk(platform, page_size)

    assert listing is not None
    assert sorted(trial.trial_id for trial in listing.trials) == sorted(set(platform.rows))


@quick
@given(platforms(everything, total_counts_rows=st.booleans()), page_sizes)
def test_walk_of_a_job_at_work_never_passes_a_part_for_the_whole(platform, page_size):
    """While a job runs, a part may be listed; the total then exceeds the number of listed trials."""
    listing = walk(platform, page_size, partial=True)

    if listing is not None:
        listed = [trial.trial_id for trial in listing.trials]
        assert len(listed) == len(set(listed))
        assert set(listed) <= set(platform.rows)
        assert set(listed) == set(platform.rows) or len(listed) < listing.total
