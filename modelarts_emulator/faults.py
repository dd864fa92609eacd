"""Faults of the platform and of the way to it, by name: what becomes of an answer."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelarts_emulator import deliveries
from modelarts_emulator.deliveries import Deliver, changed, instead, packed, refused

_TABLE = "^GET .*/autosearch-trials$"
_JOB = "^GET .*/training-jobs/[^/]+$"
_PROXY = {"Content-Type": "text/html"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of an answer.

    :param acts: whether the request is carried out; None leaves it to the test, or to chance.
    :param passes: whether a caller that asks again comes to the right end without harm. Only those happen by chance,
        unless others are named.
    :param where: regular expression of the methods and paths with whose answers it can happen.
    """

    name: str
    deliver: Deliver
    acts: bool | None = None
    passes: bool = True
    where: str = ""

    def fits(self, method: str, path: str) -> bool:
        """Return whether it can happen with the answer to a request."""
        return re.search(self.where, f"{method} {path}") is not None


def _in_rows(change: Callable[[dict[str, Any], list[list[Any]], list[str]], None]) -> Deliver:
    """Change a page of trials that has some: page, rows, columns."""

    def change_page(page: dict[str, Any]) -> None:
        rows = page["items"]["data"]
        if rows:
            change(page, rows, page["items"]["header"])
            page["count"] = len(rows)

    return changed(change_page)


def _shrink(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.pop()
    page["total"] -= 1


def _grow(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.append(["f00000ff" if column == "trial_id" else cell for column, cell in zip(columns, rows[-1], strict=False)])
    page["total"] += 1


def _reverse(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.reverse()


def _repeat(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows[:] = [row for row in rows for _ in range(2)]


def _rename_status(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    for row in rows:
        row[columns.index("status")] = "EVAPORATED"


def _rename_phase(job: dict[str, Any]) -> None:
    job["status"]["phase"] = "Hibernating"


#: Every fault by its name.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        # it says no, and means: later
        Fault("429", refused(429, "APIGW.0308", "The throttling threshold has been reached"), acts=False),
        Fault("429 with Retry-After", deliveries.later, acts=False),
        Fault("500", refused(500, "ModelArts.2950", "Internal error.")),
        Fault("502", instead(502, b"<html>502 Bad Gateway</html>", _PROXY)),
        Fault("503", refused(503, "ModelArts.4302", "The service is unavailable.")),
        Fault("504", instead(504, b"<html>504 Gateway Time-out</html>", _PROXY)),
        # the connection breaks, or nothing more comes
        Fault("closed", deliveries.closed),
        Fault("reset", deliveries.reset, acts=True),
        Fault("silence", deliveries.silent),
        Fault("headers then silence", deliveries.silent_after_headers, acts=True),
        Fault("cut body", deliveries.cut, acts=True),
        Fault("broken gzip", packed(deliveries.broken_gzip), acts=True),
        Fault("no HTTP", deliveries.no_http),
        # unusual, but right
        Fault("gzip", packed(gzip.compress), acts=True),
        Fault("slow bytes", deliveries.slow, acts=True),
        Fault("rows reversed", _in_rows(_reverse), acts=True, where=_TABLE),
        Fault("rows repeated", _in_rows(_repeat), acts=True, where=_TABLE),
        Fault("unknown phase", changed(_rename_phase), acts=True, where=_JOB),
        # an answer that is not the right one, and does not say so
        Fault("page shrinks", _in_rows(_shrink), acts=True, passes=False, where=_TABLE),
        Fault("page grows", _in_rows(_grow), acts=True, passes=False, where=_TABLE),
        Fault("unknown status", _in_rows(_rename_status), acts=True, passes=False, where=_TABLE),
        # no use in asking again
        Fault("cut gzip", packed(deliveries.cut_gzip), acts=True),
        Fault("wrong shape", instead(200, b'["a list"]'), passes=False),
        Fault("HTML", instead(200, b"<html>Welcome</html>", _PROXY), passes=False),
        Fault("redirect", instead(302, b"", {"Location": "https://elsewhere.invalid/"}), acts=False, passes=False),
        Fault(
            "clock skew",
            refused(401, "APIGW.0301", "Incorrect IAM authentication information: signature expired"),
            acts=False,
            passes=False,
        ),
        Fault(
            "no such API",
            refused(404, "APIGW.0101", "The API does not exist or has not been published in the environment"),
            acts=False,
            passes=False,
            where="/autosearch",
        ),
        Fault(
            "no such method",
            refused(405, "ModelArts.2803", "Method not allowed."),
            acts=False,
            passes=False,
            where="/autosearch",
        ),
    )
}


def fault_of(name: str) -> Fault:
    """Return the fault of a name.

    :raises ValueError: for a name that no fault has.
    """
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(map(repr, FAULTS))}")
    return FAULTS[name]
