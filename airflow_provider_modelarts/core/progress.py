"""Progress of a search: the one decision whether it is over, shared by sensors, triggers and operators.

The decision has no memory: the same responses at the same time give the same outcome in every process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob
from airflow_provider_modelarts.core.trials import Trial, TrialStatus

_MAX_NAMED_TRIALS = 5  # in a message, which must stay readable


class State(StrEnum):
    """State of a wait."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class FailureCause(StrEnum):
    """Cause of a failed search or job."""

    JOB = "job"  # it is Failed or Abnormal
    STOPPED = "stopped"  # it was stopped
    TRIALS = "trials"  # more of its trials ended in ERROR than tolerated
    TABLE = "table"  # it is Completed, but its trials are not
    NO_TRIALS = "no trials"  # it is Completed without any


class Verdict(NamedTuple):
    """State of a job with the reason; the cause of a failure."""

    state: State
    message: str
    cause: FailureCause | None = None


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """What a waiting task tolerates.

    :param expected_trials: how many trials the search will run; None takes the search's own ``num_samples``.
    :param max_failed_trials: how many trials may end in ERROR.
    :param accept_stopped: whether to use the trials of a stopped job.
    :param settle_seconds: how long the trial table may lag behind the end of its job.
    """

    expected_trials: int | None = None
    max_failed_trials: int = 0
    accept_stopped: bool = False
    settle_seconds: float = 120


def read_policy(
    *, expected_trials: object, max_failed_trials: object, accept_stopped: object, settle_seconds: object
) -> WaitPolicy:
    """Return the policy in a task's arguments, rendered or not.

    :raises ModelArtsConfigurationError: naming the invalid argument.
    """
    return WaitPolicy(
        expected_trials=coerce.optional(coerce.positive, "expected_trials", expected_trials),
        max_failed_trials=coerce.integer("max_failed_trials", max_failed_trials),
        accept_stopped=coerce.flag("accept_stopped", accept_stopped),
        settle_seconds=coerce.number("settle_seconds", settle_seconds),
    )


@dataclass(frozen=True, slots=True)
class Listing:
    """The listed trials, and how many the platform promised (its ``total``)."""

    trials: Sequence[Trial] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class SearchSnapshot:
    """A search at one moment: its job, with the settings of the search filled in, and its trials."""

    job: TrainingJob
    listing: Listing


@dataclass(frozen=True, slots=True)
class Progress:
    """Assessment of a search at one moment.

    :param message: why it is done or failed, or what is still missing.
    :param cause: of a failure.
    :param counts: trials per status, in the platform's own words.
    :param expected: how many trials will run; None when unknown.
    """

    state: State
    message: str
    counts: Mapping[str, int]
    ended: int
    listed: int
    expected: int | None
    cause: FailureCause | None = None


def assess(job: TrainingJob, listing: Listing, policy: WaitPolicy, now: float) -> Progress:
    """Decide whether a search is done, failed or still waiting.

    :param now: seconds since the epoch; only compared with the end of the job.
    """
    expected = policy.expected_trials or (job.search.num_samples if job.search else None)
    state, message, cause = _decide(job, listing, policy, expected, now)
    trials = listing.trials
    return Progress(
        state=state,
        message=message,
        cause=cause,
        counts=count_by_status(trials),
        ended=sum(trial.ended for trial in trials),
        listed=len(trials),
        expected=expected,
    )


def count_by_status(trials: Sequence[Trial]) -> dict[str, int]:
    """Return how many trials are in each status, in the platform's own words."""
    return dict(sorted(Counter(trial.status_text for trial in trials).items()))


def assess_job(job: TrainingJob, *, accept_stopped: bool = False) -> Verdict:
    """Decide whether a training job is done, failed or still waiting."""
    if job.phase.is_failure:
        return _failure(job)
    if job.phase is JobPhase.TERMINATED and not accept_stopped:
        return _stopped(f"training job {job.id} was stopped before it ended")
    state = State.DONE if job.phase.is_terminal else State.WAITING
    return Verdict(state, f"training job {job.id} is {job.phase_text}")


def _failure(job: TrainingJob) -> Verdict:
    reason = f": {job.message}" if job.message else ", and the platform gives no reason"
    return Verdict(State.FAILED, f"training job {job.id} is {job.phase_text}{reason}", FailureCause.JOB)


def _stopped(message: str) -> Verdict:
    return Verdict(State.FAILED, message, FailureCause.STOPPED)


def _decide(job: TrainingJob, listing: Listing, policy: WaitPolicy, expected: int | None, now: float) -> Verdict:
    trials = listing.trials
    failed = [trial for trial in trials if trial.status is TrialStatus.ERROR]
    too_many_failed = len(failed) > policy.max_failed_trials
    if job.phase.is_failure:  # whenever the search is looked at, its failed trials are the cause
        return _failure(job)._replace(cause=FailureCause.TRIALS if too_many_failed else FailureCause.JOB)
    if too_many_failed:
        message = (
            f"{len(failed)} of {len(trials)} trials of training job {job.id} ended in ERROR: {_named(failed)}; "
            f"max_failed_trials is {policy.max_failed_trials}"
        )
        return Verdict(State.FAILED, message, FailureCause.TRIALS)
    if job.phase is JobPhase.TERMINATED:
        return _decide_stopped(job, trials, policy)
    unfinished = [trial for trial in trials if not trial.ended]
    if job.phase is JobPhase.COMPLETED:
        return _decide_completed(job, listing, unfinished, policy, now)
    all_listed = expected is not None and len(trials) >= max(expected, listing.total)
    if trials and not unfinished and all_listed and job.phase is not JobPhase.UNKNOWN:
        return Verdict(State.DONE, f"all {len(trials)} trials of training job {job.id} have ended")
    return Verdict(State.WAITING, f"training job {job.id} is {job.phase_text}")


def _decide_stopped(job: TrainingJob, trials: Sequence[Trial], policy: WaitPolicy) -> Verdict:
    if not policy.accept_stopped:
        return _stopped(
            f"training job {job.id} was stopped before its search ended; to use its trials, set accept_stopped=True on "
            "a sensor, or run ModelArtsBestTrialOperator"
        )
    finished = sum(trial.status is TrialStatus.TERMINATED for trial in trials)
    if finished:
        return Verdict(State.DONE, f"training job {job.id} was stopped; {finished} of its trials have ended")
    return _stopped(f"training job {job.id} was stopped before any of its trials ended")


def _decide_completed(
    job: TrainingJob, listing: Listing, unfinished: Sequence[Trial], policy: WaitPolicy, now: float
) -> Verdict:
    listed = len(listing.trials)
    if not listed and not listing.total:
        message = f"training job {job.id} is Completed and has no trials: it has no hyperparameter search"
        return Verdict(State.FAILED, message, FailureCause.NO_TRIALS)
    if not unfinished and listed >= listing.total:
        return Verdict(State.DONE, f"all {listed} trials of training job {job.id} have ended")
    lag = _named(unfinished) if unfinished else f"{listing.total - listed} of {listing.total} not listed"
    if job.ended_at is not None and now < job.ended_at + policy.settle_seconds:
        message = f"training job {job.id} is Completed, but its trial table is not final yet: {lag}"
        return Verdict(State.WAITING, message)
    message = f"training job {job.id} is Completed, but its trials never ended: {lag}"
    return Verdict(State.FAILED, message, FailureCause.TABLE)


def _named(trials: Sequence[Trial]) -> str:
    shown = ", ".join(f"{trial.trial_id} ({trial.status_text})" for trial in trials[:_MAX_NAMED_TRIALS])
    more = len(trials) - _MAX_NAMED_TRIALS
    return f"{shown} and {more} more" if more > 0 else shown
