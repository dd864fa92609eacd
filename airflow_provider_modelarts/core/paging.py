"""Walks the pages of the trial listing, whatever ``offset`` means. No HTTP in here.

The documents contradict each other: ``offset`` counts rows in some editions and pages in others. The second
request tells. With ``offset=1`` a server that counts rows repeats the first page from its second row on; one that
counts pages goes on after it. The walk then steps accordingly, at the price of one short step in the first case.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from airflow_provider_modelarts.core.trials import Trial, TrialPage
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

MAX_PAGE_SIZE = 50
_PASSES = 3


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
    shifts between two pages is read again. The number of requests is bounded by what the first page promises.

    :param partial: the job is still at work, so that fewer trials than ``total`` are no error.
    :raises ModelArtsProtocolError: when a page only repeats what was listed, or when, not ``partial``, the listing
        ends before ``total``.
    """
    seen: set[str] = set()
    page = yield Step((), 0)
    requests_left = _PASSES * (3 + page.total // max(len(page.trials), 1))
    passes_left = 1 if partial else _PASSES
    first, previous = page, None
    offset, counts_rows = 0, False
    while True:
        new = _unseen(page, seen)
        if len(seen) >= page.total:
            break
        requests_left -= 1
        repeats = previous is not None and _ids(page) == _ids(previous)
        if requests_left and page.trials and not repeats and (_is_full(page, page_size) or not partial):
            counts_rows = counts_rows or (offset == 1 and _starts_one_row_after(first, page))
            offset += len(page.trials) if counts_rows else 1
            previous = page
        else:
            passes_left -= 1
            if not passes_left or not requests_left:
                _check_end(page.total, len(seen), repeats=repeats or not requests_left, partial=partial)
                break
            offset, counts_rows, previous = 0, False, None
        page = yield Step(new, offset)
        if offset == 0:
            first = page
    yield Step(new, None)


def _unseen(page: TrialPage, seen: set[str]) -> list[Trial]:
    new = []
    for trial in page.trials:
        if trial.trial_id not in seen:
            seen.add(trial.trial_id)
            new.append(trial)
    return new


def _ids(page: TrialPage) -> list[str]:
    return [trial.trial_id for trial in page.trials]


def _is_full(page: TrialPage, page_size: int) -> bool:
    return len(page.trials) >= (min(page.limit, page_size) if page.limit else page_size)


def _starts_one_row_after(first: TrialPage, page: TrialPage) -> bool:
    return len(first.trials) > 1 and page.trials[0].trial_id == first.trials[1].trial_id


def _check_end(total: int, listed: int, *, repeats: bool, partial: bool) -> None:
    if repeats:
        raise ModelArtsProtocolError(f"the platform promises {total} trials but repeats its pages after {listed}")
    if not partial:
        raise ModelArtsProtocolError(
            f"the platform promises {total} trials but lists only {listed}; read them again later"
        )
