"""What the emulated cloud holds: one project with its jobs and algorithms."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_modelarts.core.json_values import JSON, child
from modelarts_emulator.documents import algorithm_document
from modelarts_emulator.errors import algorithm_not_found, bad_request, job_not_found
from modelarts_emulator.iam import Iam
from modelarts_emulator.jobs import Clock, Job, ScriptedJob
from modelarts_emulator.runs.bodies import checked_body, whole_algorithm
from modelarts_emulator.runs.workshop import Workshop
from modelarts_emulator.script import Search
from modelarts_emulator.table import TableStyle


class Cloud:
    """One project in one region.

    :param style: how trial tables are written.
    :param clock: seconds since the epoch; it dates jobs, and never moves them on.
    """

    def __init__(self, *, region: str, project_id: str, style: TableStyle, clock: Clock) -> None:
        self.region = region
        self.project_id = project_id
        self.style = style
        self.iam = Iam(clock, region, project_id)
        self._workshop: Workshop | None = None
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._algorithms: dict[str, Mapping[str, JSON]] = {}

    def add(self, job: Job) -> None:
        """Add a job; it takes the place of one with the same id."""
        self._jobs[job.id] = job

    def add_search(self, search: Search) -> None:
        """Add a scripted search, and the algorithm that holds its settings if there is one."""
        self.add(ScriptedJob(search, self._clock))
        if search.algorithm_id:
            self._algorithms[search.algorithm_id] = algorithm_document(search)

    def open(self, workshop: Workshop) -> None:
        """Let jobs be created, and add those that were created before."""
        self._workshop = workshop
        for job in workshop.kept():
            self.add(job)

    async def close(self) -> None:
        """End all jobs that run."""
        if self._workshop is not None:
            await self._workshop.close()
            self._workshop = None

    def create(self, body: Mapping[str, JSON]) -> Job:
        """Add the job that a body of CreateTrainingJob asks for, and let it run; or refuse it."""
        if self._workshop is None:
            raise RuntimeError("jobs are created only while the emulator serves")
        checked = checked_body(body)
        name = child(checked, "metadata", "name")
        if any(child(dict(job.document()), "metadata", "name") == name for job in self.jobs()):
            raise bad_request("2751", f"The training job name {name} is in use.")
        job = self._workshop.create(checked, whole_algorithm(checked, self.algorithm))
        self.add(job)
        return job

    def delete(self, job_id: str) -> None:
        """Forget a job; what still runs of it is ended."""
        self.job(job_id)
        del self._jobs[job_id]
        if self._workshop is not None:
            self._workshop.remove(job_id)

    def job(self, job_id: str) -> Job:
        """Return a job, or raise the platform's refusal."""
        if job_id not in self._jobs:
            raise job_not_found(job_id)
        return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return list(self._jobs.values())

    def algorithm(self, algorithm_id: str) -> Mapping[str, JSON]:
        """Return an algorithm as the platform answers it, or raise the platform's refusal."""
        if algorithm_id not in self._algorithms:
            raise algorithm_not_found()
        return self._algorithms[algorithm_id]
