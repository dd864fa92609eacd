"""Base of the operators that create a training job: once, however often the task is tried."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, conf

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


class JobBodyMixin(ModelArtsBaseOperator):
    """Takes the body of a training job, and hyperparameters to put into it.

    :param body: of CreateTrainingJob: a mapping, JSON text, or the name of a ``.json`` file beside the DAG; its name is
        replaced. (templated)
    :param hyperparameters: values to put into ``algorithm.parameters`` of the body, such as the config of the best
        trial; a mapping or JSON text. What renders to nothing is an error: ``{}`` gives none. (templated)
    """

    template_ext: Sequence[str] = (".json",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"body": "json", "hyperparameters": "json"}

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        hyperparameters: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.hyperparameters = hyperparameters
        self._are_given = hyperparameters is not None

    def job_body(self) -> dict[str, JSON]:
        """Return the body to send; all arguments are checked on the way, before anything is sent."""
        from airflow_provider_modelarts.core.job_body import read_body, with_hyperparameters

        return with_hyperparameters(read_body(self.body), self._hyperparameters())

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render an argument.

        Only an argument that is text by itself can name a file: within a body, ``ds_config.json`` is a value.
        """
        if isinstance(content, str):
            return super().render_template(content, *args, **kwargs)
        extensions, self.template_ext = self.template_ext, ()
        try:
            return super().render_template(content, *args, **kwargs)
        finally:
            self.template_ext = extensions

    def _hyperparameters(self) -> Mapping[str, object]:
        from airflow_provider_modelarts.core import coerce
        from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

        if not self._are_given:
            return {}
        if self.hyperparameters in (None, "", "None"):
            raise ModelArtsConfigurationError(
                "hyperparameters are empty: what they are taken from has given nothing; is its task id right?"
            )
        return coerce.mapping("hyperparameters", self.hyperparameters)


JOB_ID_KEY = "training_job_id"
JOB_FIELDS = ("modelarts_conn_id", "region", "project_id", "body", "hyperparameters", "poll_interval")

_CLOCKS_DIFFER = 300.0  # seconds, between Airflow's and the platform's at the most
_TRIGGER_GONE = "__fail__"  # the method that Airflow resumes with when a trigger timed out or broke


class TrainingJobBaseOperator(JobBodyMixin):
    """Creates a training job and waits for it.

    A job costs money. Its name is derived from DAG, task, run and map index, so that a retry of the task adopts what
    an earlier try created, as long as that is at work or Completed; a job that failed or was stopped is followed by a
    new one. Clearing the task begins anew. Ending the task, or running past its ``execution_timeout``, stops the job.

    XCom ``training_job_id`` is there before the waiting begins.

    :param wait_for_completion: wait for the end of the job; else return after creating it.
    :param poll_interval: seconds between two looks. (templated)
    :param deferrable: wait in the triggerer instead of on a worker.
    """

    ui_color = "#d4e4f7"

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        poll_interval: float | str = 30,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self._job_id: str | None = None
        self._creating: TaskIdentity | None = None
        self._killed = False

    def make_poller(self, training_job_id: str) -> Poller:
        """Return what looks at the job."""
        raise NotImplementedError

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that takes over; ``shared`` are the arguments that all triggers have."""
        raise NotImplementedError

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return what the task returns of a job that is done."""
        raise NotImplementedError

    def pre_execute(self, context: Context) -> None:
        """Learn which job this task waits for, if it was deferred.

        Whatever ends the task, even before it resumes, can stop the job then: Airflow 2.11 takes a task that is past
        its ``execution_timeout`` for ended without resuming it.
        """
        super().pre_execute(context)
        ti = context["ti"]
        self._job_id = ti.xcom_pull(task_ids=self.task_id, key=JOB_ID_KEY, map_indexes=ti.map_index)

    def execute(self, context: Context) -> dict[str, JSON]:
        """Create or adopt the job, and wait for it."""
        from airflow_provider_modelarts.core.xcom import job_summary

        with as_task_errors():
            job = self._acquire(context).job
        if not self.wait_for_completion:
            return job_summary(job)
        return self._wait(context, job.id)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, JSON]:
        """Take up what the trigger saw."""
        from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, error_from_dict

        match event:
            case {"status": "done", "message": message, "summary": dict() as summary}:
                self.log.info(message)
                return self.result(context, summary)
            case {"status": "failed", "message": message}:
                raise self._failure(message)
            case {"status": "timeout", "message": message}:
                self._stop_job_or_warn()
                raise AirflowTaskTimeout(message)
            case {"status": "error", "error": dict() as error}:
                with self._errors():
                    raise error_from_dict(error)
        raise ModelArtsProtocolError("the trigger ended without an outcome")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger; stop the job if the trigger never came back."""
        if next_method == _TRIGGER_GONE:
            self._stop_job_or_warn()
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the job: somebody ended the task, or it ran past its ``execution_timeout``."""
        self._killed = True
        self._stop_job_or_warn()

    def _acquire(self, context: Context) -> Acquired:
        from airflow_provider_modelarts.api.create_once import acquire_job

        self._interval()
        body, identity, ti = self.job_body(), self._identity(context), context["ti"]
        store = context.get("task_state_store")  # from Airflow 3.3 on; below, the job's name is the memory
        remembered = store.get(JOB_ID_KEY) if store else None
        self._creating = identity
        acquired = self.hook.run(
            acquire_job(
                body,
                identity,
                since=_may_have_created_since(context),
                remembered_id=remembered if isinstance(remembered, str) else None,
            )
        )
        job = acquired.job
        self._job_id, self._creating = job.id, None
        if self._killed:  # Airflow 3 lets the task go on after on_kill, until its process is killed
            self._stop_job_or_warn()
            raise ModelArtsTrainingJobFailedError(f"the task was ended while it created training job {job.id}")
        if store:
            store.set(JOB_ID_KEY, job.id)
        ti.xcom_push(key=JOB_ID_KEY, value=job.id)
        ModelArtsTrainingJobLink.push(context, self.hook, job.id)
        self.log.info("%s training job %s (%s)", "Adopted" if acquired.adopted else "Created", job.id, job.name)
        if self.hyperparameters and not acquired.adopted:
            self.log.info("Its hyperparameters are %s", self.hyperparameters)
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
            generation=ti.max_tries or 0,  # clearing sets it anew; neither a retry nor an edit of the DAG does
        )

    def _wait(self, context: Context, training_job_id: str) -> dict[str, JSON]:
        from airflow_provider_modelarts.core.progress import State

        watch = self.make_poller(training_job_id)
        glance = self._look(watch)
        if glance.state is State.WAITING and self.deferrable:
            self._defer(training_job_id)
        while glance.state is State.WAITING:
            time.sleep(self._interval())
            glance = self._look(watch)
        if glance.state is State.FAILED:
            raise self._failure(glance.message)
        self.log.info(glance.message)
        return self.result(context, glance.summary)

    def _look(self, watch: Poller) -> PollResult:
        with self._errors():
            glance = self.hook.run(watch.look(time.time))
        if glance.news:
            self.log.info(glance.news)
        return glance

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the error of a call into the task's, and say what becomes of the job."""
        from airflow_provider_modelarts.exceptions import ModelArtsError

        with as_task_errors():
            try:
                yield
            except ModelArtsError:
                self.log.warning(
                    "Training job %s may go on. A retry takes it up; clearing the task stops it", self._job_id
                )
                raise

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

    def _interval(self) -> float:
        from airflow_provider_modelarts.core import coerce

        return coerce.seconds("poll_interval", self.poll_interval)

    def _failure(self, message: str) -> ModelArtsTrainingJobFailedError:
        """Return the error of a job that did not end well, with its last words; stop what is left of it."""
        from airflow_provider_modelarts.api.flows import explain_failure

        if self._job_id:
            message = f"{message}\n{self.hook.run(explain_failure(self._job_id))}".rstrip()
            self._stop_job_or_warn()
        return ModelArtsTrainingJobFailedError(message)

    def stop_job(self) -> None:
        """Stop the job, unless it has ended; one whose creation was broken off is looked for."""
        from airflow_provider_modelarts.api.create_once import stop_unanswered
        from airflow_provider_modelarts.api.flows import stop_job

        if self._job_id and self.hook.run(stop_job(self._job_id)):
            self.log.info("Training job %s is being stopped", self._job_id)
        elif self._creating and self.hook.run(stop_unanswered(self._creating)):
            self.log.info("The training job that was just being created is being stopped")

    def _stop_job_or_warn(self) -> None:
        """Stop the job, and say so if it cannot be stopped: what ends the task shall not be hidden by that."""
        from airflow_provider_modelarts.exceptions import ModelArtsError

        try:
            self.stop_job()
        except ModelArtsError as error:
            self.log.warning("Training job %s could not be stopped, and may go on: %s", self._job_id or "", error)


def _may_have_created_since(context: Context) -> float:
    """Return since when a task can have created a job, in seconds since the epoch.

    A retry may have at any time. A first try can have too, since Airflow 3 may execute a try twice when a task resumes
    before its scheduler has seen it defer; but not before its DAG run began.
    """
    began = context["dag_run"].start_date
    if began is None or context["ti"].try_number > 1:
        return 0.0
    return float(began.timestamp()) - _CLOCKS_DIFFER
