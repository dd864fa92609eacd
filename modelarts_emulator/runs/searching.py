"""Runs a search: draws configurations, and runs the script with each, some of them at once."""

from __future__ import annotations

import asyncio
import secrets

from modelarts_emulator.runs.commands import Command
from modelarts_emulator.runs.plans import SearchPlan
from modelarts_emulator.runs.reports import LogReader, best, finite
from modelarts_emulator.runs.running import Run
from modelarts_emulator.runs.sampling import Sampler
from modelarts_emulator.runs.state import JobState
from modelarts_emulator.runs.trials import TrialRun


class SearchRun(Run):
    """A search that runs.

    :param max_parallel: how many trials may run at once.
    """

    def __init__(self, state: JobState, command: Command, plan: SearchPlan, max_parallel: int) -> None:
        super().__init__(state, command)
        self._plan = plan
        self._sampler = Sampler(plan)
        self._max_parallel = max_parallel
        self._readers: dict[str, LogReader] = {}
        self._stopped_early: set[str] = set()
        self._failures: list[tuple[int, str]] = []

    def stop_trial(self, trial_id: str) -> None:
        """Ask one trial to end, if it runs."""
        if trial_id in self._readers:
            self._stopped_early.add(trial_id)
        if trial_id in self._scripts:
            self._scripts[trial_id].stop()

    def read(self) -> None:
        """Read what the running trials have printed since the last time."""
        for reader in self._readers.values():
            reader.read()

    async def _work(self) -> tuple[int, str]:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_parallel, self._plan.num_samples)):
                group.create_task(self._run_trials())
        if len(self._failures) < len(self._state.trials):
            return 0, ""
        code, words = self._failures[-1] if self._failures else (0, "")
        return code, f"all {len(self._failures)} trials failed, the last one with: {words}"

    async def _run_trials(self) -> None:
        """Run one trial after another, until all are taken."""
        while len(self._state.trials) < self._plan.num_samples and not self._ending:
            number, drawn = self._sampler.ask()
            config = {name: value for name, (value, _) in drawn.items()}
            trial = TrialRun(self._new_id(), len(self._state.trials), config)
            self._state.trials.append(trial)
            await self._run_trial(trial, {name: text for name, (_, text) in drawn.items()})
            rewards = trial.values.get(self._plan.objectives[0].metric, [])
            self._sampler.tell(number, finite(best(rewards, self._plan.objectives[0].mode)))

    async def _run_trial(self, trial: TrialRun, texts: dict[str, str]) -> None:
        name = trial.trial_id
        self._readers[name] = LogReader(self._state.folder, name, self._plan.objectives, trial.values)
        code = await self._execute(name, texts, lambda pid: self._started(trial, pid))
        self._readers.pop(name).read(at_end=True)
        if self._ending and name not in self._stopped_early:
            return  # it did not come to an end of its own, and stays as it was
        if code and name not in self._stopped_early:
            words = self._last_words(name)
            self._failures.append((code, words))
            trial.end("ERROR", self._state.clock())
            self._state.note("Error", f"Trial {name} failed with exit code {code}: {words}")
        else:
            trial.end("TERMINATED", self._state.clock())
            self._state.save()

    def _started(self, trial: TrialRun, pid: int) -> None:
        trial.start(pid, self._state.clock())
        self._state.save()
        if trial.trial_id in self._stopped_early:
            self._scripts[trial.trial_id].stop()

    def _new_id(self) -> str:
        """Return 8 hexadecimal digits that no trial of the job has."""
        taken = {trial.trial_id for trial in self._state.trials}
        return next(word for word in iter(lambda: secrets.token_hex(4), "") if word not in taken)
