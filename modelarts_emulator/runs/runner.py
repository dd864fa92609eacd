"""Runners: one job from its start to its end, with one run of its script or, for a search, one per trial."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence

from modelarts_emulator.json_values import finite
from modelarts_emulator.runs.process import ScriptProcess
from modelarts_emulator.runs.request import Command
from modelarts_emulator.runs.search import Objective, Sampler, SearchSpec
from modelarts_emulator.runs.state import JobState, TrialRun, best_value
from modelarts_emulator.runs.storage import JobFolder
from modelarts_emulator.vocabulary import TASK, JobPhase, TrialStatus

_CANNOT_START = 126  # exit code of a shell for a command that it cannot execute
_LAST_PIECE = 4096
_READ_SIZE = 2**20
_MAX_LINE = 2**16  # the start of a longer line is ignored


class Runner:
    """A running job. It ends by itself, by :meth:`stop`, or with the emulator."""

    def __init__(self, state: JobState, command: Command) -> None:
        self._state = state
        self._command = command
        self._processes: dict[str, ScriptProcess] = {}
        self._stopping = False
        self._emulator_ends = False

    async def run(self) -> None:
        """Run the job to its end."""
        try:
            await self._run()
        except Exception as error:
            self._state.fail(1, f"the emulator failed: {error!r}")
        finally:
            await self._kill_processes()

    def stop(self) -> None:
        """Start no more scripts, and stop the running ones."""
        self._stopping = True
        for process in self._processes.values():
            process.stop()

    def kill(self) -> None:
        """Kill all scripts, because the emulator ends."""
        self._stopping = self._emulator_ends = True
        for process in self._processes.values():
            process.kill()

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial if it is running."""

    def read_logs(self) -> None:
        """Read the new output of all running trials."""

    async def _run(self) -> None:
        self._state.enter(JobPhase.PENDING)
        await asyncio.sleep(0)
        code, message = 0, ""
        if not self._stopping:
            self._state.enter(JobPhase.RUNNING)
            for folder in self._command.outputs:
                folder.mkdir(parents=True, exist_ok=True)
            code, message = await self._work()
        if self._emulator_ends:
            self._state.interrupt()
        elif self._stopping:
            self._state.enter(JobPhase.TERMINATED)
        elif code:
            self._state.fail(code, message)
        else:
            self._state.enter(JobPhase.COMPLETED)

    async def _work(self) -> tuple[int, str]:
        """Return exit code and message of the job."""
        code = await self._execute(TASK, {}, lambda pid: None)
        return code, self._last_line(TASK)

    async def _execute(self, name: str, drawn: Mapping[str, str], started: Callable[[int], None]) -> int:
        """Run the script once, and return its exit code.

        :param name: of the log for its output.
        :param started: called with the id of its process.
        """
        command, log = self._command, self._state.folder.open_log(name)
        try:
            process = await ScriptProcess.start(
                command.argv(drawn), cwd=command.code_dir, environment=command.environment, log=log
            )
        except OSError as error:
            self._write(name, f"the script cannot be started: {error}")
            return _CANNOT_START
        self._processes[name] = process
        started(process.pid)
        if self._emulator_ends:
            process.kill()
        elif self._stopping:
            process.stop()
        code = await process.wait()
        del self._processes[name]
        return code

    def _write(self, name: str, line: str) -> None:
        with os.fdopen(self._state.folder.open_log(name), "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def _last_line(self, name: str) -> str:
        """Return the last line of a log that is not blank."""
        folder = self._state.folder
        piece = folder.read_log(name, max(0, folder.size_of_log(name) - _LAST_PIECE), _LAST_PIECE)
        lines = [line for line in piece.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "the script has printed nothing"

    async def _kill_processes(self) -> None:
        for process in list(self._processes.values()):
            process.kill()
            with contextlib.suppress(OSError):
                await process.wait()


class SearchRunner(Runner):
    """A running search.

    :param max_parallel: number of trials that may run at once.
    """

    def __init__(self, state: JobState, command: Command, search: SearchSpec, max_parallel: int) -> None:
        super().__init__(state, command)
        self._search = search
        self._sampler = Sampler(search)
        self._max_parallel = max_parallel
        self._readers: dict[str, MetricReader] = {}
        self._stopped_early: set[str] = set()
        self._failures: list[tuple[int, str]] = []

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial if it is running."""
        if trial_id in self._readers:
            self._stopped_early.add(trial_id)
        if trial_id in self._processes:
            self._processes[trial_id].stop()

    def read_logs(self) -> None:
        """Read the new output of all running trials."""
        for reader in self._readers.values():
            reader.read()

    async def _work(self) -> tuple[int, str]:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_parallel, self._search.num_samples)):
                group.create_task(self._run_trials())
        if len(self._failures) < len(self._state.trials):
            return 0, ""
        code, message = self._failures[-1] if self._failures else (0, "")
        return code, f"all {len(self._failures)} trials failed, the last one with: {message}"

    async def _run_trials(self) -> None:
        """Run one trial after another, until all have started."""
        objective = self._search.objectives[0]
        while len(self._state.trials) < self._search.num_samples and not self._stopping:
            number, drawn = self._sampler.ask()
            config = {name: value for name, (value, _) in drawn.items()}
            trial = TrialRun(self._new_id(), len(self._state.trials), config)
            self._state.trials.append(trial)
            await self._run_trial(trial, {name: text for name, (_, text) in drawn.items()})
            self._sampler.tell(number, finite(best_value(trial.values.get(objective.metric, []), objective.mode)))

    async def _run_trial(self, trial: TrialRun, drawn: dict[str, str]) -> None:
        name = trial.trial_id
        self._readers[name] = MetricReader(self._state.folder, name, self._search.objectives, trial.values)
        code = await self._execute(name, drawn, lambda pid: self._started(trial, pid))
        self._readers.pop(name).read(at_end=True)
        if self._stopping and name not in self._stopped_early:
            return  # the trial stays as it was when the job was stopped
        if code and name not in self._stopped_early:
            message = self._last_line(name)
            self._failures.append((code, message))
            trial.end(TrialStatus.ERROR, self._state.clock())
            self._state.add_event("Error", f"Trial {name} failed with exit code {code}: {message}")
        else:
            trial.end(TrialStatus.TERMINATED, self._state.clock())
            self._state.save()

    def _started(self, trial: TrialRun, pid: int) -> None:
        trial.start(pid, self._state.clock())
        self._state.save()
        if trial.trial_id in self._stopped_early:
            self._processes[trial.trial_id].stop()

    def _new_id(self) -> str:
        """Return 8 hexadecimal digits that are not the id of another trial."""
        taken = {trial.trial_id for trial in self._state.trials}
        return next(word for word in iter(lambda: secrets.token_hex(4), "") if word not in taken)


class MetricReader:
    """Reader of the metrics in a growing log, line by line, with their regular expressions.

    :param values: reported values by metric, in the order of the log; changed by reading.
    """

    def __init__(
        self, folder: JobFolder, name: str, objectives: Sequence[Objective], values: dict[str, list[str]]
    ) -> None:
        self._folder = folder
        self._name = name
        self._patterns = [(objective.metric, re.compile(objective.regex)) for objective in objectives]
        self._values = values
        self._offset = 0
        self._rest = b""

    def read(self, *, at_end: bool = False) -> None:
        """Read the new lines.

        :param at_end: read a last line without its end too.
        """
        while piece := self._folder.read_log(self._name, self._offset, _READ_SIZE):
            self._offset += len(piece)
            *lines, rest = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
            self._rest = rest[-_MAX_LINE:]
            self._take(lines)
        if at_end:
            self._take([self._rest])
            self._rest = b""

    def _take(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            words = line[-_MAX_LINE:].decode(errors="replace")
            for metric, pattern in self._patterns:
                found = [match[1] if pattern.groups else match[0] for match in pattern.finditer(words)]
                self._values.setdefault(metric, []).extend(value.strip() for value in found if value)
