"""Walks the pages of the trial listing, whatever ``offset`` means. No HTTP in here.

The documents contradict each other: ``offset`` counts rows in some editions and pages in others. The second
request tells. With ``offset=1`` a server that counts rows repeats the first page from its second row on; one that
counts pages goes on after it. The walk then steps accordingly, at the price of one short step in the first case.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.trials import Trial, TrialPage
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

MAX_PAGE_SIZE = 50
_PASSES = 3
_MOST_REQUESTS = 10_000  # of one pass, should a listing grow for ever


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one page.

    :param trials: those not seen before.
    :param offset: what to ask for next; None at the end.
    """

    trials: Sequence[Trial]
    offset: int | None


def checked_page_size(page_size: int) -> int:
    """Return the page size, or raise :class:`ModelArtsConfigurationError`: the platform takes 1 to 50."""
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise ModelArtsConfigurationError(f"page_size must be from 1 to {MAX_PAGE_SIZE}, not {page_size}")
    return page_size


def walk(page_size: int, *, partial: bool = False) -> Generator[Step, TrialPage, None]:
    """Walk a listing: ``next()`` gives the first step, ``send(page)`` the step that follows a page.

    Trials that were seen before are dropped, a listing that grows meanwhile is read to its new end, and one that
    shifts or shrinks between two pages is read again. The number of requests is bounded by what the pages promise.

    :param partial: the job is still at work, so that fewer trials than ``total`` are no error.
    :raises ModelArtsProtocolError: when a page only repeats what was listed, or when, not ``partial``, the listing
        ends before ``total``.
    """
    given: set[str] = set()
    counted: set[str] = set()  # since the total last fell: trials that are gone must not make up for others
    total = 0
    passes_left = 1 if partial else _PASSES
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
    """One pass over the pages, from the first on."""

    page_size: int
    partial: bool = field(kw_only=True)
    offset: int = 0
    requests: int = 0
    counts_rows: bool = False
    repeats: bool = False
    first: TrialPage | None = None
    previous: TrialPage | None = None

    def offset_after(self, page: TrialPage) -> int | None:
        """Return what to ask for after a page; None where this pass can find no more."""
        first = self.first = self.first or page
        self.requests += 1
        self.repeats = bool(page.trials) and self.previous is not None and _ids(page) == _ids(self.previous)
        bound = min(3 + page.total // max(len(first.trials), 1), _MOST_REQUESTS)
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
        raise ModelArtsProtocolError(f"the platform promises {total} trials but repeats its pages after {listed}")
    if not partial:
        raise ModelArtsProtocolError(
            f"the platform promises {total} trials but lists only {listed}; read them again later"
        )
