"""Signal to the process of a task that waits for a job, and what becomes of the job."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from airflow_provider_modelarts.task_state import (
    Ending,
    has_interrupted_question,
    learn_ending,
    learn_ending_at_once,
    must_ask_in_handler,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

_MAX_SECONDS = 60.0  # Airflow 2.11 kills a process so long after its signal, 3.3 after 5 seconds
_PAUSE_SECONDS = 0.05


class Interruption:
    """Judgement of a signal, which ends either the task or only this process.

    :param job_id: returns the id of the job; None while its creation is not answered.
    :param stop: stops the job.
    :param leave: logs that the job keeps running.
    :param resumes: whether a clear of the task leaves the job to the next try.
    """

    def __init__(
        self,
        context: Context,
        *,
        job_id: Callable[[], str | None],
        stop: Callable[[], None],
        leave: Callable[[], None],
        resumes: bool,
    ) -> None:
        self._context = context
        self._job_id = job_id
        self._stop = stop
        self._leave = leave
        self._resumes = resumes
        self._judged = threading.Event()
        self._thread: threading.Thread | None = None
        self._stops = False

    def begin(self) -> None:
        """Begin to judge the signal; called in its handler.

        The interrupted process may hold the locks of Airflow's messages and of the log, so that a thread asks and logs.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        learn: Callable[[], Ending] = self._learn
        if must_ask_in_handler():
            if has_interrupted_question(sys._getframe()):
                threading.Timer(_PAUSE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()
                return
            ending = learn_ending_at_once(self._context["ti"], self._job_id())
            learn = lambda: ending  # noqa: E731
        self._thread = threading.Thread(target=self._decide, args=(learn,), daemon=True)
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Whether there was a signal."""
        return self._thread is not None

    def wait(self, seconds: float) -> bool:
        """Return after some seconds, or as soon as a signal is judged; return whether one is."""
        return self._judged.wait(seconds)

    def stops(self) -> bool:
        """Wait for the judgement of a signal, if there was one; return whether it stops the job."""
        return self.has_begun and self._judged.wait(_MAX_SECONDS) and self._stops

    def join(self) -> None:
        """Wait until the job is stopped, if it has to be."""
        if self._thread is not None:
            self._thread.join(_MAX_SECONDS)

    def _learn(self) -> Ending:
        ti = self._context["ti"]
        return learn_ending(ti, self._job_id(), ti.max_tries)

    def _decide(self, learn: Callable[[], Ending]) -> None:
        self._stops = self._is_to_stop(learn())
        self._judged.set()
        (self._stop if self._stops else self._leave)()

    def _is_to_stop(self, ending: Ending) -> bool:
        match ending:
            case Ending.ENDED:
                return True
            case Ending.CLEARED:
                return not self._resumes
            case Ending.STARTING | Ending.TAKEN_OVER:
                return False
        return not is_retry_left(self._context)


def is_retry_left(context: Context) -> bool:
    """Return whether Airflow retries the task if this try fails."""
    ti = context["ti"]
    return bool(ti.try_number <= (ti.max_tries or 0))
