"""Base of the operators that create a training job: once, however often the task is retried."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsError
from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.operators.base import ModelArtsBaseOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsTrainingJobFailedError, as_task_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.create_once import Acquired
    from airflow_provider_modelarts.api.polling import Poller, PollResult
    from airflow_provider_modelarts.core.job_identity import TaskIdentity
    from airflow_provider_modelarts.core.json_values import JSON

JOB_ID_KEY = "training_job_id"  # of the XCom, and of the task state store of Airflow 3.3

_CLOCK_SKEW_SECONDS = 300.0  # between Airflow's clock and the platform's, at most
_TRIGGER_FAILED = "__fail__"  # the method that Airflow resumes with if a trigger timed out or raised


class TrainingJobBaseOperator(ModelArtsBaseOperator):
    """Creation of one training job per task, and the wait for its end.

    The name of the job is derived from DAG, task, run and map index: a retry of the task finds the job of an earlier
    try by it. Clearing the task changes the name.
    """

    template_ext: Sequence[str] = (".json",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"body": "json", "hyperparameters": "json"}
    ui_color = "#d4e4f7"

    body: Mapping[str, Any] | str
    hyperparameters: Mapping[str, Any] | str | None
    wait_for_completion: bool
    poll_interval: float | str
    deferrable: bool

    _hyperparameters_given: bool
    _job_id: str | None = None
    _creating: TaskIdentity | None = None
    _killed = False

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

        Airflow 2.11 ends a task that has exceeded its ``execution_timeout`` without resuming it.
        """
        super().pre_execute(context)
        ti = context["ti"]
        self._job_id = ti.xcom_pull(task_ids=self.task_id, key=JOB_ID_KEY, map_indexes=ti.map_index)

    def execute(self, context: Context) -> dict[str, JSON]:
        """Create or adopt the job, and wait for its end."""
        from airflow_provider_modelarts.core.xcom import job_summary

        with as_task_errors():
            job = self._acquire(context).job
        if not self.wait_for_completion:
            return job_summary(job)
        return self._wait(context, job.id)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, JSON]:
        """Resume with the event of the trigger."""
        from airflow_provider_modelarts.triggers.modelarts import TriggerOutcome

        with self._call_errors():
            outcome = TriggerOutcome.from_event(event, self._job_id)
            outcome.raise_error()
        if outcome.status == "timeout":
            self._stop_job_or_warn()
            raise AirflowTaskTimeout(outcome.message)
        if outcome.status != "done":
            raise self._failure(outcome.message)
        self.log.info(outcome.message)
        return self.result(context, outcome.summary)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger; stop the job if Airflow reports that the trigger failed."""
        if next_method == _TRIGGER_FAILED:
            self._stop_job_or_warn()
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the job: the task was ended, or has exceeded its ``execution_timeout``."""
        self._killed = True
        self._stop_job_or_warn()

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

        if self._job_id and self.hook.run(stop_job(self._job_id)):
            self.log.info("Training job %s is being stopped", self._job_id)
        elif self._creating and self.hook.run(stop_unanswered(self._creating)):
            self.log.info("The training job whose creation was interrupted is being stopped")

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

    def _acquire(self, context: Context) -> Acquired:
        """Adopt the job of an earlier try, or create a job, and store its id."""
        from airflow_provider_modelarts.api.create_once import acquire_job

        self._interval()
        body, identity = self.job_body(), self._identity(context)
        store = context.get("task_state_store")  # from Airflow 3.3 on; before, only the job's name identifies it
        remembered = store.get(JOB_ID_KEY) if store else None
        self._creating = identity
        acquired = self.hook.run(
            acquire_job(
                body,
                identity,
                since=_earliest_creation(context),
                remembered_id=remembered if isinstance(remembered, str) else None,
            )
        )
        job = acquired.job
        self._job_id, self._creating = job.id, None
        if self._killed:  # Airflow 3 lets the task continue after on_kill, until its process is killed
            self._stop_job_or_warn()
            raise ModelArtsTrainingJobFailedError(f"the task was ended while it created training job {job.id}")
        if store:
            store.set(JOB_ID_KEY, job.id)
        context["ti"].xcom_push(key=JOB_ID_KEY, value=job.id)
        ModelArtsTrainingJobLink.push(context, self.hook, job.id)
        self._log_acquired(acquired)
        return acquired

    def _identity(self, context: Context) -> TaskIdentity:
        from airflow_provider_modelarts.core.job_identity import TaskIdentity

        ti = context["ti"]
        return TaskIdentity(
            prefix=self.hook.get_conn().settings.job_name_prefix,
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            generation=ti.max_tries or 0,  # changed by a clear; neither by a retry nor by an edit of the DAG
        )

    def _log_acquired(self, acquired: Acquired) -> None:
        job = acquired.job
        self.log.info("%s training job %s (%s)", "Adopted" if acquired.adopted else "Created", job.id, job.name)
        if self.hyperparameters and not acquired.adopted:
            self.log.info("Hyperparameters of training job %s: %s", job.id, self.hyperparameters)

    def _wait(self, context: Context, training_job_id: str) -> dict[str, JSON]:
        from airflow_provider_modelarts.core.progress import State

        poller = self.make_poller(training_job_id)
        polled = self._poll(poller)
        if polled.state is State.WAITING and self.deferrable:
            self._defer(training_job_id)
        while polled.state is State.WAITING:
            time.sleep(self._interval())
            polled = self._poll(poller)
        if polled.state is State.FAILED:
            raise self._failure(polled.message)
        self.log.info(polled.message)
        return self.result(context, polled.summary)

    def _poll(self, poller: Poller) -> PollResult:
        with self._call_errors():
            polled = self.hook.run(poller.poll(time.time))
        if polled.log_line:
            self.log.info(polled.log_line)
        return polled

    def _defer(self, training_job_id: str) -> None:
        from airflow_provider_modelarts.triggers.modelarts import defer_to_trigger

        limit = self.execution_timeout
        defer_to_trigger(
            self,
            self.make_trigger,
            seconds=limit.total_seconds() if limit else None,
            training_job_id=training_job_id,
            poll_interval=self._interval(),
            stop_on_kill=True,
        )

    @contextmanager
    def _call_errors(self) -> Iterator[None]:
        """Translate the error of a call into the task's, and log that the job may still be running."""
        with as_task_errors():
            try:
                yield
            except ModelArtsError:
                self.log.warning(
                    "Training job %s may still be running. A retry adopts it; clearing the task stops it", self._job_id
                )
                raise

    def _failure(self, message: str) -> ModelArtsTrainingJobFailedError:
        """Return the error of a failed job, with its last events and log lines; stop the job if it still runs."""
        from airflow_provider_modelarts.api.flows import explain_failure

        if self._job_id:
            message = f"{message}\n{self.hook.run(explain_failure(self._job_id))}".rstrip()
            self._stop_job_or_warn()
        return ModelArtsTrainingJobFailedError(message)

    def _stop_job_or_warn(self) -> None:
        """Stop the job; only log a failure to do so, which must not hide why the task ends."""
        try:
            self.stop_job()
        except ModelArtsError as error:
            self.log.warning(
                "Failed to stop training job %s, which may still be running: %s", self._job_id or "", error
            )


def _earliest_creation(context: Context) -> float:
    """Return the earliest time at which the task can have created a job, in seconds since the epoch.

    A retry adopts jobs of any age. So does a first try, back to the start of its DAG run: Airflow 3 may execute a try
    twice if a task resumes before the scheduler has seen it defer.
    """
    began = context["dag_run"].start_date
    if began is None or context["ti"].try_number > 1:
        return 0.0
    return float(began.timestamp()) - _CLOCK_SKEW_SECONDS
