"""Builders with defaults for everything that a test does not state, and the vendor's signer for comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import settings

from airflow_provider_modelarts.core.jobs import JobPhase, Mode, Objective, SearchSettings, TrainingJob
from airflow_provider_modelarts.core.progress import Listing, SearchSnapshot
from airflow_provider_modelarts.core.trials import Trial, TrialPage, TrialStatus

DATA = Path(__file__).parents[1] / "data"

#: The same examples in every run, so that a failure is due to the change under test and not to chance.
quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def documented(name: str) -> Any:
    """Return a documented response."""
    return json.loads((DATA / f"{name}_documented.json").read_text(encoding="utf-8"))


def trial(
    trial_id: str = "t0",
    status: str = "TERMINATED",
    best: float | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    index: int | None = None,
    metrics: Mapping[str, float] = MappingProxyType({}),
    **fields: Any,
) -> Trial:
    """Return a trial; ``best`` is its objective value, and ``fields`` have the names of a trial's properties."""
    raw = {"status": status, "best_reward": best, **metrics}
    raw |= {_COLUMNS.get(name, name): value for name, value in fields.items()}
    if config is not None or index is not None:
        raw["config"] = {**(config or {}), **({} if index is None else {"trial_index": index})}
    return Trial(trial_id, TrialStatus.read(status), raw)


_COLUMNS = {"reward": "reward_attr", "duration": "time_total_s"}


def trials(*statuses: str) -> list[Trial]:
    """Return one trial per status, named t0, t1, and so on."""
    return [trial(f"t{index}", status) for index, status in enumerate(statuses)]


def page(trial_ids: Iterable[str], total: int, limit: int | None = None) -> TrialPage:
    """Return a page of finished trials."""
    return TrialPage([_finished(trial_id) for trial_id in trial_ids], total, limit)


_finished = cache(trial)  # trials are immutable, and tests of pagination list tens of thousands


def search(num_samples: int | None = None, **objectives: str) -> SearchSettings:
    """Return the settings of a search; objectives are given as ``acc="max"``."""
    return SearchSettings(tuple(Objective(name, Mode(mode)) for name, mode in objectives.items()), num_samples)


def job(phase: str = "Running", num_samples: int | None = None, **fields: Any) -> TrainingJob:
    """Return a training job whose search runs ``num_samples`` trials."""
    fields = {"name": "a-search", "search": search(num_samples), **fields}
    return TrainingJob("job-1", phase=JobPhase.read(phase), phase_text=phase, **fields)


def snapshot(
    trials: Sequence[Trial], phase: str = "Completed", name: str = "a-search", **objectives: str
) -> SearchSnapshot:
    """Return a snapshot of a search that runs exactly these trials and maximises ``acc``, or the given objectives."""
    search_settings = search(len(trials), **(objectives or {"acc": "max"}))
    return SearchSnapshot(job(phase, search=search_settings, name=name), Listing(trials, len(trials)))


#: Numbers that a JSON parser accepts, beyond any plausible id, count or time.
ABSURD_NUMBERS = {
    "NaN": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "4,001 digits": 10**4000,
    "-4,001 digits": -(10**4000),
    "5,000 digits of text": "9" * 5000,
}

#: Hostile values of one parameter in three trials.
HOSTILE_VALUES = {
    "huge": [10**400, 1, 0.5],
    "huge in hexadecimal": [int("f" * 20_000, 16), 1, 2],
    "beyond 64 bits": [2**63, 2**64, 1],
    "beyond whole floats": [2**53 + 1, 2**53 + 2, 2**53 + 3],
    "not a number": [math.nan, 0.1, 0.2],
    "never a number": [math.nan, math.nan, math.nan],
    "infinite": [math.inf, -math.inf, 1],
    "long": ["x" * 10_000, "y" * 10_000, "x" * 10_000],
    "number or word": [1, "word", 0.5],
    "flag or number": [True, 1, 0],
    "missing": [1, None, 2],
    "missing in a word": ["a", None, "b"],
    "same": [1, 1, 1],
    "lists": [[1], [2], [1]],
    "objects": [{"a": 10**5000}, {"a": 1}, {}],
    "lone surrogate": ["\ud800", "a", "b"],
    "markup": ["<script>", "</script>", "%s{}"],
    "tiny": [5e-324, 0.0, -0.0],
}


def hostile_trials(values: Sequence[Any]) -> list[Trial]:
    """Return trials with these values of the parameter ``p``, beside a well-behaved parameter ``q``."""
    return [
        trial(f"t{number}", best=number / 10, index=number, config={"p": value, "q": number / 4})
        for number, value in enumerate(values)
    ]


def converse(flow: Generator[Any, Any, Any], responses: Iterable[Any], requests: list[Any]) -> Any:
    """Drive a flow with these responses, throwing errors in; append its requests to ``requests``, return its result."""
    remaining = iter(responses)
    try:
        requests.append(next(flow))
        for response in remaining:
            request = flow.throw(response) if isinstance(response, Exception) else flow.send(response)
            requests.append(request)
    except StopIteration as end:
        assert list(remaining) == [], "the flow ended before it consumed all responses"
        return end.value
    raise AssertionError(f"the flow expects a response to {requests[-1]}")


def vendor_signed(
    access_key: str,
    secret_key: str,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
) -> SdkRequest:
    """Return a request signed by the vendor SDK; the arguments are copied, because its signer modifies them."""
    request = SdkRequest(
        method=method,
        schema="https",
        host=headers["Host"],
        resource_path=path,
        query_params=list(query),
        header_params=dict(headers),
        body=body,
    )
    return Signer(SimpleNamespace(ak=access_key, sk=secret_key)).sign(request)
