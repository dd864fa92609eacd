"""Base of the operators that create a training job: once, however often the task is retried."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, AirflowTaskTimeout

from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsError, with_hint
from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import ModelArtsBaseOperator
from airflow_provider_modelarts.operators.interruption import Interruption, is_retry_left
from airflow_provider_modelarts.task_exceptions import (
    ModelArtsSearchFailedError,
    ModelArtsTaskInterruptedError,
    ModelArtsTrainingJobFailedError,
    as_task_errors,
)
from airflow_provider_modelarts.task_state import JOB_ID_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import AirflowException, Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.create_once import Acquired, JobRequest
    from airflow_provider_modelarts.api.flows import Flow
    from airflow_provider_modelarts.api.polling import Poller, PollResult
    from airflow_provider_modelarts.core.jobs import TrainingJob
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.progress import FailureCause

_TRIGGER_FAILED = "__fail__"  # the method that Airflow resumes with if a trigger timed out or raised
_ON_JOB_FAILURE = ("retry", "fail")


class TrainingJobBaseOperator(ModelArtsBaseOperator):
    """Creation of one training job per task, and the wait for its end.

    The name of the job is derived from DAG, task, run and map index: a retry of the task finds the job of an earlier
    try by it.
    """

    template_ext: Sequence[str] = (".json",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"body": "json", "hyperparameters": "json"}
    ui_color = "#d4e4f7"

    body: Mapping[str, Any] | str
    hyperparameters: Mapping[str, Any] | str | None
    wait_for_completion: bool
    cancel_on_kill: bool
    on_clear: str
    on_job_failure: str
    poll_interval: float | str
    deferrable: bool

    _hyperparameters_given: bool
    _job_id: str | None = None
    _creating: JobRequest | None = None
    _known_id: str | None = None
    _is_posted = False
    _interruption: Interruption | None = None
    _was_told_to_end = False

    def make_poller(self, training_job_id: str) -> Poller:
        """Return a poller of the job."""
        raise NotImplementedError

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that waits for the job.

        :param shared: the arguments that all triggers have.
        """
        raise NotImplementedError

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return the task's return value for a completed job."""
        raise NotImplementedError

    def pre_execute(self, context: Context) -> None:
        """Read the id of the job that a deferred task waits for, so that ``on_kill`` can stop the job at once.

        Airflow 2.11 ends a task that has exceeded its ``execution_timeout`` without resuming it. Its task instance has
        a ``next_method``; that of Airflow 3 has none, where the log would show an error for a missing XCom.
        """
        super().pre_execute(context)
        if getattr(context["ti"], "next_method", None):
            self._read_job_id(context)

    def execute(self, context: Context) -> dict[str, JSON]:
        """Create or adopt the job, and wait for its end."""
        from airflow_provider_modelarts.core.xcom import job_summary

        with self._interruptible(context) as interruption:
            with as_task_errors():
                acquired = self._acquire(context, interruption)
            job = acquired.job
            if interruption.stops():
                self._stop_job_or_warn()
                raise ModelArtsTaskInterruptedError(f"the task was ended while it created training job {job.id}")
            if self.wait_for_completion or (acquired.adopted and job.phase.is_failure):
                return self._wait(context, job.id, interruption)
            return job_summary(job)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, JSON]:
        """Resume with the event of the trigger."""
        from airflow_provider_modelarts.triggers.modelarts import TriggerOutcome

        with self._call_errors(self._job_id):
            outcome = TriggerOutcome.from_event(event, self._job_id)
            outcome.raise_error()
        if outcome.status == "timeout":
            self._stop_job_or_warn()
            raise AirflowTaskTimeout(outcome.message)
        if outcome.status != "done":
            raise self._failure(outcome.message, outcome.failure_cause())
        self.log.info(outcome.message)
        return self.result(context, outcome.summary)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger.

        Stop the job if Airflow reports a timeout of the trigger. A trigger that failed otherwise leaves the job to the
        retry, if there is one.
        """
        event = (next_kwargs or {}).get("event")
        self._job_id = event.get("training_job_id") if isinstance(event, dict) else None
        self._read_job_id(context)
        with self._interruptible(context):
            if next_method == _TRIGGER_FAILED:
                self._end_after_failed_trigger(str((next_kwargs or {}).get("error")), context)
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the job if the task was ended or has exceeded its ``execution_timeout``; not if only the worker ends."""
        if isinstance(sys.exc_info()[1], AirflowTaskTimeout):  # it may have cut an answer of Airflow: ask nothing
            self._stop_job_or_warn()
        elif self._interruption is not None:
            self._interruption.begin()
        else:
            self._was_told_to_end = True

    def job_body(self) -> dict[str, JSON]:
        """Return the body of CreateTrainingJob; validates all arguments before any request."""
        from airflow_provider_modelarts.core.job_body import read_body, with_hyperparameters

        return with_hyperparameters(read_body(self.body), self._read_hyperparameters())

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render an argument.

        Only an argument that is itself text can name a file: inside a body, ``ds_config.json`` is a value.
        """
        if isinstance(content, str):
            return super().render_template(content, *args, **kwargs)
        extensions, self.template_ext = self.template_ext, ()
        try:
            return super().render_template(content, *args, **kwargs)
        finally:
            self.template_ext = extensions

    def stop_job(self) -> None:
        """Stop the job, unless it has ended; a job whose creation was interrupted is looked up by its name."""
        from airflow_provider_modelarts.api.create_once import stop_unanswered
        from airflow_provider_modelarts.api.flows import stop_job

        job_id = self._job_id or self._known_id
        if job_id and self.hook.run(stop_job(job_id)):
            self.log.info("Training job %s is being stopped", job_id)
        elif not self._job_id and self._creating:
            seconds = self._creating.search_seconds if self._is_posted else 0.0
            if self.hook.run(stop_unanswered(self._creating, seconds)):
                self.log.info("The training job whose creation was interrupted is being stopped")

    @contextmanager
    def _interruptible(self, context: Context) -> Iterator[Interruption]:
        """Let ``on_kill`` work, and wait for its judgement at the end."""
        self._interruption = Interruption(
            context,
            job_id=lambda: self._job_id,
            stop=self._stop_job_or_warn,
            leave=self._log_continuation,
            resumes=self.on_clear == "resume",
        )
        try:
            if self._was_told_to_end:
                self._interruption.begin()
                raise ModelArtsTaskInterruptedError("the worker received SIGTERM before it executed the task")
            yield self._interruption
        finally:
            self._interruption.join()

    def _log_continuation(self) -> None:
        if job_id := self._job_id or self._known_id:
            self.log.warning(
                "The worker received SIGTERM, but Airflow reports no end of the task: training job %s keeps running",
                job_id,
            )

    def _end_after_failed_trigger(self, error: str, context: Context) -> None:
        if "timeout" in error.lower() or not is_retry_left(context):
            self._stop_job_or_warn()
        else:
            self.log.warning("The trigger failed: training job %s keeps running, and a retry adopts it", self._job_id)

    def _read_job_id(self, context: Context) -> None:
        ti = context["ti"]
        self._job_id = self._job_id or ti.xcom_pull(task_ids=self.task_id, key=JOB_ID_KEY, map_indexes=ti.map_index)

    def _read_hyperparameters(self) -> Mapping[str, object]:
        from airflow_provider_modelarts.core import coerce

        if not self._hyperparameters_given:
            return {}
        if self.hyperparameters in (None, "", "None"):
            raise ModelArtsConfigurationError(
                "hyperparameters rendered to an empty value: check the task id they are pulled from, "
                "and whether that task was skipped; {} sets none"
            )
        return coerce.mapping("hyperparameters", self.hyperparameters)

    def _interval(self) -> float:
        from airflow_provider_modelarts.core import coerce

        return coerce.seconds("poll_interval", self.poll_interval)

    def _acquire(self, context: Context, interruption: Interruption) -> Acquired:
        """Adopt the job of an earlier try, or create a job, and store its id."""
        from airflow_provider_modelarts.api.create_once import JobRequest, acquire_job
        from airflow_provider_modelarts.core.job_identity import OnClear
        from airflow_provider_modelarts.operators.job_record import JobRecord, identity_of

        self._check_arguments()
        body, on_clear = self.job_body(), OnClear.read(self.on_clear)
        settings, record = self.hook.get_conn().settings, JobRecord.read(context)
        identity = identity_of(context, settings.job_name_prefix, record)
        request = JobRequest(
            identity,
            body,
            on_clear,
            known_id=record.job_id,
            known_is_own=record.generation == identity.generation,
            posted=record.posted,
            search_seconds=settings.retry.total,
            stops_others=self.cancel_on_kill,
        )
        self._creating, self._known_id = request, record.job_id
        if request.posted:
            self.log.info("Searching for training job %s, whose creation got no response", request.posted.name)
        record.check_creation = partial(self._check_creation, interruption)
        with self._call_errors(record.job_id):
            acquired = self.hook.run(acquire_job(request, is_healthy=self._is_healthy, log=record, clock=time.time))
        job = acquired.job
        self._job_id = job.id
        self._log_acquired(request, acquired)
        record.finish(job.id, identity.generation)
        context["ti"].xcom_push(key=JOB_ID_KEY, value=job.id)
        ModelArtsTrainingJobLink.push(context, self.hook, job.id)
        return acquired

    def _check_creation(self, interruption: Interruption) -> None:
        """Refuse to create a job in a process that was told to end."""
        if interruption.has_begun:
            raise ModelArtsTaskInterruptedError("the worker received SIGTERM before it created a training job")
        self._is_posted = True

    def _check_arguments(self) -> None:
        self._interval()
        if self.on_job_failure not in _ON_JOB_FAILURE:
            raise ModelArtsConfigurationError(f"on_job_failure must be 'retry' or 'fail', not {self.on_job_failure!r}")

    def _is_healthy(self, job: TrainingJob) -> Flow[bool]:
        """Return whether to adopt a job that is not active: it is done, or its failure is final."""
        from airflow_provider_modelarts.core.jobs import JobPhase
        from airflow_provider_modelarts.core.progress import State

        polled: PollResult = yield from self.make_poller(job.id).poll(time.time)
        match polled.state:
            case State.DONE:
                return True
            case State.FAILED:
                return self._is_final(polled.cause)
        return job.phase is not JobPhase.TERMINATING

    def _is_final(self, cause: FailureCause | None) -> bool:
        """Return whether a new job would fail alike, or is not wanted."""
        from airflow_provider_modelarts.core.progress import FailureCause

        is_final = cause in {FailureCause.TRIALS, FailureCause.NO_TRIALS}
        return is_final or (cause is FailureCause.JOB and self.on_job_failure == "fail")

    def _log_acquired(self, request: JobRequest, acquired: Acquired) -> None:
        job = acquired.job
        if acquired.adopted:
            since = datetime.fromtimestamp(job.created_at, UTC).isoformat(timespec="seconds")
            self.log.info("Adopted training job %s (%s), which exists since %s", job.id, job.name, since)
            if not request.training.is_that_of(job):
                self.log.warning(
                    "The result of training job %s is used, although its body differs from that of this try", job.id
                )
        else:
            self.log.info("Created training job %s (%s)", job.id, job.name)
            if self.hyperparameters:
                self.log.info("Hyperparameters of training job %s: %s", job.id, self.hyperparameters)
        for other in acquired.superseded:
            what = "is being stopped" if self.cancel_on_kill else "keeps running, because cancel_on_kill is False"
            self.log.info("Training job %s (%s) from before the clear %s", other.id, other.name, what)
        for other in acquired.left:
            self.log.warning(
                "Training job %s (%s) is active, and not provably created by this run: it is left alone. Stop it if no "
                "run requires it, and give each deployment its own job_name_prefix in its connection",
                other.id,
                other.name,
            )

    def _wait(self, context: Context, training_job_id: str, interruption: Interruption) -> dict[str, JSON]:
        from airflow_provider_modelarts.core.progress import State

        poller = self.make_poller(training_job_id)
        polled = self._poll(poller)
        if polled.state is State.WAITING and self.deferrable:
            self._defer(context, training_job_id)
        while polled.state is State.WAITING:
            if interruption.wait(self._interval()):
                raise ModelArtsTaskInterruptedError(
                    f"the worker received SIGTERM while training job {self._job_id} was running"
                )
            polled = self._poll(poller)
        if polled.state is State.FAILED:
            raise self._failure(polled.message, polled.cause)
        self.log.info(polled.message)
        return self.result(context, polled.summary)

    def _poll(self, poller: Poller) -> PollResult:
        with self._call_errors(self._job_id):
            polled = self.hook.run(poller.poll(time.time))
        if polled.log_line:
            self.log.info(polled.log_line)
        return polled

    def _defer(self, context: Context, training_job_id: str) -> None:
        from airflow_provider_modelarts.triggers.modelarts import defer_to_trigger

        limit = self.execution_timeout
        defer_to_trigger(
            self,
            self.make_trigger,
            seconds=limit.total_seconds() if limit else None,
            training_job_id=training_job_id,
            poll_interval=self._interval(),
            stop_on_kill=self.cancel_on_kill,
            generation=None if self.on_clear == "resume" else context["ti"].max_tries,
        )

    @contextmanager
    def _call_errors(self, job_id: str | None) -> Iterator[None]:
        """Translate the error of a call into the task's, which says that the job may still be running."""
        with as_task_errors():
            try:
                yield
            except ModelArtsError as error:
                if job_id is None:
                    raise
                advice = (
                    f"Training job {job_id} may still be running: a retry adopts it. After the last retry, set "
                    'on_clear="resume" on the task and clear it to adopt the job; with "restart", the default, a clear '
                    "stops the job."
                )
                raise with_hint(error, advice).with_traceback(error.__traceback__) from error.__cause__

    def _failure(self, message: str, cause: FailureCause | None) -> AirflowException:
        """Return the error of a failed job, with its last events and log lines; stop the job if it still runs."""
        from airflow_provider_modelarts.api.flows import explain_failure

        if self._job_id:
            message = f"{message}\n{self.hook.run(explain_failure(self._job_id))}".rstrip()
            self._stop_job_or_warn()
        if not self._is_final(cause):
            return ModelArtsTrainingJobFailedError(message)
        return ModelArtsSearchFailedError(f"{message}\nThe task is not retried. Clear it to create another job.")

    def _stop_job_or_warn(self) -> None:
        """Stop the job, unless ``cancel_on_kill`` is False."""
        if self.cancel_on_kill:
            self._stop_or_warn()

    def _stop_or_warn(self) -> None:
        """Stop the job; only log a failure to do so, which must not hide why the task ends."""
        try:
            self.stop_job()
        except (ModelArtsError, AirflowNotFoundException) as error:
            self.log.warning(
                "Failed to stop training job %s, which may still be running: %s", self._job_id or "", error
            )
