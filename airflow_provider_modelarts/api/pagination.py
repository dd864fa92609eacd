"""Pagination of the trial listing, for both meanings of ``offset``.

The documents contradict each other: ``offset`` counts rows in some editions and pages in others. The second response
shows which: for ``offset=1``, a server that counts rows repeats the first page from its second row on, and one that
counts pages returns the second page. The walk steps accordingly, with one extra request in the first case.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.trials import Trial, TrialPage
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

MAX_PAGE_SIZE = 50
_MAX_PASSES = 3  # over a listing that shifts or shrinks between two pages
_MAX_REQUESTS = 10_000  # of one pass, should a listing grow without end


@dataclass(frozen=True, slots=True)
class Step:
    """New trials of one page, and the next request.

    :param trials: trials that no earlier page had.
    :param offset: of the next request; None at the end.
    """

    trials: Sequence[Trial]
    offset: int | None


def checked_page_size(page_size: int) -> int:
    """Return the page size, or raise :class:`ModelArtsConfigurationError`: the platform accepts 1 to 50."""
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise ModelArtsConfigurationError(f"page_size must be from 1 to {MAX_PAGE_SIZE}, not {page_size}")
    return page_size


def walk(page_size: int, *, partial: bool = False) -> Generator[Step, TrialPage, None]:
    """Walk a listing: ``next()`` returns the first step, ``send(page)`` the step after a page.

    Repeated trials are dropped, a listing that grows is read to its new end, and one that shifts or shrinks between two
    pages is read again. The ``total`` of the pages bounds the number of requests.

    :param partial: the job is still active, so that fewer trials than ``total`` are not an error.
    :raises ModelArtsProtocolError: when a page only repeats earlier trials, or when a listing that is not ``partial``
        ends before ``total``.
    """
    given: set[str] = set()
    counted: set[str] = set()  # since the total last fell: trials that are gone must not stand in for others
    total = 0
    passes_left = 1 if partial else _MAX_PASSES
    one_pass = _Pass(page_size, partial=partial)
    page = yield Step((), 0)
    while True:
        if page.total < total:
            counted.clear()
        total = page.total
        counted.update(_ids(page))
        new = _new(page, given)
        if len(counted) >= total:
            break
        offset = one_pass.offset_after(page)
        if offset is None:
            passes_left -= 1
            if not passes_left:
                _check_end(total, len(given), repeats=one_pass.repeats, partial=partial)
                break
            offset, one_pass = 0, _Pass(page_size, partial=partial)
        page = yield Step(new, offset)
    yield Step(new, None)


@dataclass(slots=True)
class _Pass:
    """One pass over the pages."""

    page_size: int
    partial: bool = field(kw_only=True)
    offset: int = 0
    requests: int = 0
    counts_rows: bool = False
    repeats: bool = False
    first: TrialPage | None = None
    previous: TrialPage | None = None

    def offset_after(self, page: TrialPage) -> int | None:
        """Return the offset after a page; None where this pass can find no more trials."""
        first = self.first = self.first or page
        self.requests += 1
        self.repeats = bool(page.trials) and self.previous is not None and _ids(page) == _ids(self.previous)
        bound = min(3 + page.total // max(len(first.trials), 1), _MAX_REQUESTS)
        if not page.trials or self.repeats or self.requests >= bound or (self.partial and not self._is_full(page)):
            return None
        if self.offset == 1 and len(first.trials) > 1 and page.trials[0].trial_id == first.trials[1].trial_id:
            self.counts_rows = True
        self.previous = page
        self.offset += len(page.trials) if self.counts_rows else 1
        return self.offset

    def _is_full(self, page: TrialPage) -> bool:
        return len(page.trials) >= (min(page.limit, self.page_size) if page.limit else self.page_size)


def _new(page: TrialPage, given: set[str]) -> list[Trial]:
    new = []
    for trial in page.trials:
        if trial.trial_id not in given:
            given.add(trial.trial_id)
            new.append(trial)
    return new


def _ids(page: TrialPage) -> list[str]:
    return [trial.trial_id for trial in page.trials]


def _check_end(total: int, listed: int, *, repeats: bool, partial: bool) -> None:
    if repeats:
        raise ModelArtsProtocolError(f"the platform reports {total} trials but repeats its pages after {listed}")
    if not partial:
        raise ModelArtsProtocolError(
            f"the platform reports {total} trials but lists only {listed}; read them again later"
        )
