"""The searches that an emulator holds, by name. Each is data; the truth about each is written down in the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelarts_emulator.scenarios import courses, outcomes, values
from modelarts_emulator.scenarios.courses import running_search
from modelarts_emulator.scenarios.documented import documented
from modelarts_emulator.script import Search

#: What makes the search of a scenario.
SCENARIOS: Mapping[str, Callable[[], Search]] = {
    "documented": documented,
    "growing": courses.growing,
    "large": values.large,
    "failing-trial": courses.failing_trial,
    "failing-job": outcomes.failing_job,
    "abnormal-job": outcomes.abnormal_job,
    "stopped-job": outcomes.stopped_job,
    "tie": values.tie,
    "nan": values.nan,
    "minimise": values.minimise,
    "algorithm-search": outcomes.algorithm_search,
    "no-search": outcomes.no_search,
    "two-objectives": values.two_objectives,
    "pending-forever": courses.pending_forever,
    "unknown-status": courses.unknown_status,
    "lagging": courses.lagging,
    "never-settles": courses.never_settles,
    "silent": outcomes.silent,
}

__all__ = ["SCENARIOS", "running_search"]
