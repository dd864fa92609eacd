"""Lines and tables of a task log."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import job, quick, search, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.log_lines import ChangeLog, progress_line, ranking_table, time_left
from airflow_provider_modelarts.core.progress import Listing, SearchSnapshot, WaitPolicy, assess
from airflow_provider_modelarts.core.selection import Bound, Criterion, rank

ACC = Criterion("acc", Mode.MAX, is_objective=True)
STARTED = 1_700_000_000.0


def line_of(some_job, *trials, total=None):
    """Return the progress line of a job with these trials."""
    snapshot = SearchSnapshot(some_job, Listing(trials, len(trials) if total is None else total))
    return progress_line(snapshot, assess(snapshot.job, snapshot.listing, WaitPolicy(), STARTED))


def table_of(*trials, criterion=ACC, constraints=None, **options):
    """Return the table of some trials, ranked by the maximum of acc unless a criterion is given."""
    return ranking_table(rank(trials, criterion, constraints), **options)


def expected(table):
    """Return the text of a table that is indented in the test."""
    return textwrap.dedent(table).strip("\n")


def test_change_log_first_line():
    """The first line is new."""
    assert ChangeLog().line_if_new("is Running", STARTED) == "is Running"


def test_change_log_repeated_line():
    """A repeated line is suppressed for ten minutes."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)

    assert [log.line_if_new("is Running", STARTED + later) for later in (0, 30, 599.9)] == [None, None, None]


def test_change_log_changed_line():
    """A changed line is new at once, even if it was logged earlier."""
    log = ChangeLog()

    lines = [log.line_if_new(line, STARTED) for line in ("is Pending", "is Running", "is Running", "is Pending")]

    assert lines == ["is Pending", "is Running", None, "is Pending"]


def test_change_log_heartbeat():
    """An unchanged line is repeated every ten minutes as a heartbeat."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)

    lines = [log.line_if_new("is Running", STARTED + later) for later in (600, 630, 1199, 1200, 1830)]

    assert lines == ["Still waiting: is Running", None, None, "Still waiting: is Running", "Still waiting: is Running"]


def test_change_log_heartbeat_after_a_change():
    """The next heartbeat is due ten minutes after a change."""
    log = ChangeLog()
    log.line_if_new("is Pending", STARTED)
    log.line_if_new("is Running", STARTED + 590)

    assert log.line_if_new("is Running", STARTED + 600) is None


def test_change_log_last_seen():
    """The last line is kept for the end of a wait, even if it was suppressed."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)
    log.line_if_new("is Running", STARTED + 1)

    assert log.last_seen() == "Last seen: is Running"


def test_change_log_last_seen_of_nothing():
    """A change log without lines reports that the status was never read."""
    assert ChangeLog().last_seen() == "The status was never read."


@pytest.mark.parametrize(
    ("trials", "line"),
    [
        ([], "Training job job-1 is Running"),
        ([trial("a", "RUNNING")], "Training job job-1 is Running: 0/8 trials ended (1 RUNNING)"),
        (
            [trial("a", "ERROR"), trial("b", "PENDING"), trial("c", "ERROR"), trial("d", "PAUSED")],
            "Training job job-1 is Running: 2/8 trials ended (2 ERROR, 1 PAUSED, 1 PENDING)",
        ),
        (
            [trial("a", best=0.5), trial("b", best=0.75), trial("c", "RUNNING", best=0.9)],
            "Training job job-1 is Running: 2/8 trials ended (1 RUNNING, 2 TERMINATED), best acc=0.75 by b",
        ),
        (
            [trial("a", best=0.123456789)],
            "Training job job-1 is Running: 1/8 trials ended (1 TERMINATED), best acc=0.123457 by a",
        ),
        (
            [trial("a", "STOPPED", done=True)],
            "Training job job-1 is Running: 1/8 trials ended (1 STOPPED)",
        ),
    ],
)
def test_progress_line(trials, line):
    """The line counts the trials per status and names the best finished trial."""
    assert line_of(job(search=search(8, acc="max")), *trials) == line


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (search(acc="max"), "1 of 2 listed trials ended (1 RUNNING, 1 TERMINATED), best acc=0.5 by a"),
        (search(4, loss="min"), "1/4 trials ended (1 RUNNING, 1 TERMINATED), best loss=0.5 by a"),
        (search(4), "1/4 trials ended (1 RUNNING, 1 TERMINATED)"),
        (search(4, acc="max", loss="min"), "1/4 trials ended (1 RUNNING, 1 TERMINATED)"),
        (None, "1 of 2 listed trials ended (1 RUNNING, 1 TERMINATED)"),
    ],
)
def test_progress_line_with_unknown_settings(settings, line):
    """Unknown numbers are left out, and without one clear objective no trial is named the best."""
    some_job = job(search=settings)

    assert line_of(some_job, trial("a", best=0.5), trial("b", "RUNNING")) == f"Training job job-1 is Running: {line}"


def test_progress_line_with_control_characters():
    """Control characters in a status, a metric or an id cannot forge a log line."""
    odd = trial("a\x1b[31m", best=0.5)

    line = line_of(job(search=search(8, **{"a\rcc": "max"})), odd, trial("b", "LOST\nOK"))

    assert line == (
        "Training job job-1 is Running: 1/8 trials ended (1 LOST?OK, 1 TERMINATED), best a?cc=0.5 by a?[31m"
    )


def test_progress_line_with_control_characters_in_the_phase():
    """Control characters in an unknown phase cannot forge a log line."""
    assert line_of(job("Hiber\nnating")) == "Training job job-1 is Hiber?nating"


def test_change_log_ignores_the_time_left():
    """A change of the time left, which changes with every poll, is not logged."""
    log = ChangeLog()

    lines = [
        log.line_if_new("2/8 trials ended", STARTED + later, f", about {9 - later} min left") for later in range(3)
    ]

    assert lines == ["2/8 trials ended, about 9 min left", None, None]


def test_change_log_last_seen_without_the_time_left():
    """The time left is not part of the last line, because it would contradict a message about a timeout."""
    log = ChangeLog()
    log.line_if_new("2/8 trials ended", STARTED, ", about 9 min left")

    assert log.last_seen() == "Last seen: 2/8 trials ended"


@pytest.mark.parametrize(
    ("duration", "ended", "left"),
    [
        (60.0, 4, ", about 60 s left"),  # half of the trials have ended
        (0.5, 7, ", about 1 s left"),
        (44.0, 1, ", about 5 min left"),  # 308 s
        (600.0, 6, ", about 3 min left"),  # 200 s
        (7200.0, 5, ", about 72 min left"),
        (36_000.0, 4, ", about 10 h left"),
        (86_400.0, 2, ", about 3 d left"),
        (60.0, 0, ""),  # no trial has ended
        (60.0, 8, ""),  # all trials have ended
        (0.0, 4, ""),
        (None, 4, ""),
    ],
)
def test_time_left_of_a_running_search(duration, ended, left):
    """The time left is extrapolated from the run time of the job and the share of trials that have ended."""
    trials = [trial(f"t{number}", "TERMINATED" if number < ended else "RUNNING") for number in range(8)]
    snapshot = SearchSnapshot(job("Running", num_samples=8, duration=duration), Listing(trials, 8))

    assert time_left(snapshot, assess(snapshot.job, snapshot.listing, WaitPolicy(), STARTED)) == left


@pytest.mark.parametrize(("phase", "num_samples"), [("Completed", 8), ("Terminating", 8), ("Running", None)])
def test_time_left_that_is_unknown(phase, num_samples):
    """The time left is blank unless the job is running and its number of trials is known."""
    trials = [trial("t0"), trial("t1", "RUNNING")]
    snapshot = SearchSnapshot(job(phase, num_samples=num_samples, duration=60.0), Listing(trials, 2))

    assert time_left(snapshot, assess(snapshot.job, snapshot.listing, WaitPolicy(), STARTED)) == ""


def test_table_width():
    """A table has at most 160 columns: hyperparameters that do not fit are left out."""
    config = {f"parameter_with_a_name_{number}": "x" * 30 for number in range(8)}

    lines = table_of(trial("a", best=0.5, config=config)).splitlines()

    assert lines[1].split() == ["rank", "trial", "acc", *list(config)[:5]]
    assert max(map(len, lines)) <= 160


def test_table_is_aligned():
    """Columns are aligned with their titles, and the best trial comes first."""
    table = table_of(
        trial("a", best=0.5, config={"lr": 0.125, "optimizer": "adam"}),
        trial("long-trial-id", best=0.75, config={"lr": 1e-05, "optimizer": "sgd"}),
        trial("b", best=-10.0, config={"lr": 3, "optimizer": "momentum"}),
    )

    assert table == expected("""
        3 trials by acc (max), best first:
        rank  trial          acc   lr     optimizer
        1     long-trial-id  0.75  1e-05  sgd
        2     a              0.5   0.125  adam
        3     b              -10   3      momentum
    """)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (0.123456789, "0.12345679"),
        (123456789, "123456789"),
        (1e-9, "1e-09"),
        (True, "True"),
        (None, ""),
        ("", ""),
        ("adam", "adam"),
        ([64, 32], "[64, 32]"),
        ({"name": "adam"}, "{'name': 'adam'}"),
        ("a" * 24, "a" * 24),
        ("a" * 25, "a" * 21 + "..."),
        ("a" * 10_000, "a" * 21 + "..."),
        ("a\nb", "a?b"),
        ("\x1b[31mred", "?[31mred"),
        ("a\tb\rc\x00d", "a?b?c?d"),
        ("a\u202eb\u200bc\u2028d", "a?b?c?d"),
        ("\ud800", "?"),
        ("学习率", "学习率"),
        ("é", "é"),
    ],
)
def test_table_cell(value, shown):
    """A cell is one short printable line, and a number has at most eight digits."""
    row = table_of(trial("a", best=0.5, config={"x": value})).splitlines()[2]

    assert row == f"1     a      0.5  {shown}".rstrip()


def test_table_title_with_control_characters():
    """Control characters in the names of metrics and hyperparameters are replaced."""
    table = table_of(
        trial("a\nb", best=0.5, config={"l\nr": 1}), criterion=Criterion("a\ncc", Mode.MIN, is_objective=True)
    )

    assert table == expected("""
        1 trials by a?cc (min), best first:
        rank  trial  a?cc  l?r
        1     a?b    0.5   1
    """)


def test_table_is_aligned_with_wide_characters():
    """A Chinese character counts as two columns of a terminal."""
    table = table_of(
        trial("a", best=0.75, config={"优化器": "动量法", "lr": 1}),
        trial("b", best=0.5, config={"优化器": "adam", "lr": 2}),
    )

    assert table == expected("""
        2 trials by acc (max), best first:
        rank  trial  acc   优化器  lr
        1     a      0.75  动量法  1
        2     b      0.5   adam    2
    """)


def test_table_has_a_column_for_each_hyperparameter():
    """The hyperparameters of all trials have columns, and a missing value is a blank cell."""
    table = table_of(
        trial("a", best=0.9, config={"lr": 0.5}), trial("b", best=0.8, config={"decay": 1}), trial("c", best=0.7)
    )

    assert table == expected("""
        3 trials by acc (max), best first:
        rank  trial  acc  lr   decay
        1     a      0.9  0.5
        2     b      0.8       1
        3     c      0.7
    """)


def test_table_has_eight_hyperparameters_at_most():
    """A table shows the first eight hyperparameters."""
    config = {f"p{number}": number for number in range(9)}

    assert table_of(trial("a", best=0.5, config=config)) == expected("""
        1 trials by acc (max), best first:
        rank  trial  acc  p0  p1  p2  p3  p4  p5  p6  p7
        1     a      0.5  0   1   2   3   4   5   6   7
    """)


def test_table_marks_ties():
    """Equal values are marked, and the table explains their order."""
    table = table_of(
        trial("a", best=0.5, index=2), trial("b", best=0.5, index=1), trial("c", best=0.9), trial("d", best=0.1)
    )

    assert table == expected("""
        4 trials by acc (max), best first:
        rank  trial  acc
        1     c      0.9
        2=    b      0.5
        3=    a      0.5
        4     d      0.1
        = has the same value as another trial; the lowest trial index goes first
    """)


def test_table_with_rejected_trials():
    """Rejected trials are listed below the ranked ones, each with its reason."""
    table = table_of(
        trial("a", best=0.5, metrics={"loss": 0.1}),
        trial("bb", "ERROR"),
        trial("ccc"),
        trial("d", best=float("nan")),
        trial("e", best=0.9, metrics={"loss": 0.9}),
        constraints={"loss": Bound(max=0.5)},
    )

    assert table == expected("""
        1 trials by acc (max), best first:
        rank  trial  acc
        1     a      0.5
        4 trials do not compete:
        - bb   not finished        (ERROR)
        - ccc  metric missing      (acc)
        - d    not a number        (acc is nan)
        - e    constraint not met  (loss)
    """)


def test_table_of_rejected_trials_only():
    """A table without ranked trials lists the reason of each rejected one."""
    assert table_of(trial("a", "RUNNING"), trial("b\n", "PEN\nDING")) == expected("""
        0 trials by acc (max), best first:
        rank  trial  acc
        2 trials do not compete:
        - a   not finished  (RUNNING)
        - b?  not finished  (PEN?DING)
    """)


def test_table_of_no_trials():
    """A table without trials is empty and not an error."""
    assert table_of() == "0 trials by acc (max), best first:\nrank  trial  acc"


def test_table_of_more_than_twenty_trials():
    """The first twenty trials are shown, and the others are counted."""
    lines = table_of(*(trial(f"t{number:02}", best=-float(number)) for number in range(23))).splitlines()

    assert lines[0] == "23 trials by acc (max), best first:"
    assert [line.split()[1] for line in lines[2:22]] == [f"t{number:02}" for number in range(20)]
    assert lines[22:] == ["... and 3 more"]


def test_table_of_twenty_trials():
    """Twenty trials are all shown, and no others are counted."""
    assert len(table_of(*(trial(f"t{number}", best=float(number)) for number in range(20))).splitlines()) == 22


def test_table_of_more_than_twenty_rejected_trials():
    """The first twenty rejected trials are shown, and the others are counted."""
    lines = table_of(*(trial(f"t{number}", "ERROR") for number in range(21))).splitlines()

    assert lines[2] == "21 trials do not compete:"
    assert [line.split()[1] for line in lines[3:23]] == [f"t{number}" for number in range(20)]
    assert lines[23:] == ["... and 1 more"]


def test_table_with_a_limit():
    """The limit applies to both parts, and a tie that is not shown is not explained."""
    table = table_of(
        trial("a", best=0.9),
        trial("b", best=0.5),
        trial("c", best=0.5),
        trial("d", "ERROR"),
        trial("e", "ERROR"),
        limit=1,
    )

    assert table == expected("""
        3 trials by acc (max), best first:
        rank  trial  acc
        1     a      0.9
        ... and 2 more
        2 trials do not compete:
        - d  not finished  (ERROR)
        ... and 1 more
    """)


@quick
@given(st.lists(st.tuples(st.text(min_size=1, max_size=40), st.text(max_size=40)), min_size=1, max_size=4))
def test_table_has_one_line_for_each_trial(rows):
    """Each trial is one printable line of bounded length, for any ids and values."""
    trials = [trial(name, best=9.0 - place, config={"x": value}) for place, (name, value) in enumerate(rows)]

    lines = table_of(*trials).splitlines()

    assert len(lines) == 2 + len(trials)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= len("rank") + 2 + 24 + 2 + len("acc") + 2 + 24


def test_table_with_hostile_names_and_values():
    """Each trial is one printable line of bounded length, for hostile names, values and nesting."""
    deep = []
    for _ in range(900):
        deep = [deep]
    config = {
        "\x1b[31m\n" * 1000: "a\rb",
        "deep": deep,
        "wide": ["x" * 1_000_000] * 100,
        "many": {"k": dict.fromkeys("ab")},
    }

    lines = table_of(trial("t1", best=0.5, config=config), trial("t2", "\x1b\n" * 1000)).splitlines()

    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 200
