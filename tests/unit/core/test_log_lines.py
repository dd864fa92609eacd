"""Lines and tables of a task's log."""

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


def line_on(some_job, *trials, total=None):
    """Return the line on a look at a job with these trials."""
    look = SearchSnapshot(some_job, Listing(trials, len(trials) if total is None else total))
    return progress_line(look, assess(look.job, look.listing, WaitPolicy(), STARTED))


def table_of(*trials, criterion=ACC, constraints=None, **options):
    """Return the table of some trials, ranked by acc for max."""
    return ranking_table(rank(trials, criterion, constraints), **options)


def expected(table):
    """Return a table that stands indented in a test."""
    return textwrap.dedent(table).strip("\n")


def test_change_log_lets_the_first_line_through():
    """The first line is news."""
    assert ChangeLog().line_if_new("is Running", STARTED) == "is Running"


def test_change_log_keeps_back_what_was_said():
    """The same line again is no news, up to ten minutes."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)

    assert [log.line_if_new("is Running", STARTED + later) for later in (0, 30, 599.9)] == [None, None, None]


def test_change_log_lets_a_change_through():
    """A new line is news at once, and so is one that comes back."""
    log = ChangeLog()

    said = [log.line_if_new(line, STARTED) for line in ("is Pending", "is Running", "is Running", "is Pending")]

    assert said == ["is Pending", "is Running", None, "is Pending"]


def test_change_log_beats_after_ten_minutes():
    """A line that stays gets repeated every ten minutes, as such: who reads the log sees that all is well."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)

    said = [log.line_if_new("is Running", STARTED + later) for later in (600, 630, 1199, 1200, 1830)]

    assert said == ["Still waiting: is Running", None, None, "Still waiting: is Running", "Still waiting: is Running"]


def test_change_log_counts_ten_minutes_from_a_change():
    """After a change, the next beat is ten minutes away."""
    log = ChangeLog()
    log.line_if_new("is Pending", STARTED)
    log.line_if_new("is Running", STARTED + 590)

    assert log.line_if_new("is Running", STARTED + 600) is None


def test_change_log_tells_what_it_saw_last():
    """At the end of the time, the last line is told, also when it was no news."""
    log = ChangeLog()
    log.line_if_new("is Running", STARTED)
    log.line_if_new("is Running", STARTED + 1)

    assert log.last_seen() == "Last seen: is Running"


def test_change_log_that_never_saw_anything():
    """Where nothing was seen, that is told."""
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
    """The line counts the trials per status, and tells the best finished one so far."""
    assert line_on(job(search=search(8, acc="max")), *trials) == line


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
def test_progress_line_by_what_is_known_of_the_search(settings, line):
    """Unknown numbers are not made up, and without one clear objective nothing is called the best."""
    some_job = job(search=settings)

    assert line_on(some_job, trial("a", best=0.5), trial("b", "RUNNING")) == f"Training job job-1 is Running: {line}"


def test_progress_line_with_words_of_the_platform_that_break_lines():
    """Control characters in a status, a metric or an id cannot forge a line of the log."""
    odd = trial("a\x1b[31m", best=0.5)

    line = line_on(job(search=search(8, **{"a\rcc": "max"})), odd, trial("b", "LOST\nOK"))

    assert line == (
        "Training job job-1 is Running: 1/8 trials ended (1 LOST?OK, 1 TERMINATED), best a?cc=0.5 by a?[31m"
    )


def test_progress_line_of_a_phase_that_breaks_lines():
    """A phase that nobody has heard of cannot forge a line of the log either."""
    assert line_on(job("Hiber\nnating")) == "Training job job-1 is Hiber?nating"


def test_change_of_the_time_left_is_no_news():
    """It changes at every look; what has ended does not."""
    log = ChangeLog()

    said = [log.line_if_new("2/8 trials ended", STARTED + later, f", about {9 - later} min left") for later in range(3)]

    assert said == ["2/8 trials ended, about 9 min left", None, None]


def test_time_left_is_no_part_of_what_was_seen_last():
    """In a message about a deadline it would be cynical."""
    log = ChangeLog()
    log.line_if_new("2/8 trials ended", STARTED, ", about 9 min left")

    assert log.last_seen() == "Last seen: 2/8 trials ended"


@pytest.mark.parametrize(
    ("duration", "ended", "left"),
    [
        (60.0, 4, ", about 60 s left"),  # half of it is done
        (0.5, 7, ", about 1 s left"),
        (44.0, 1, ", about 5 min left"),  # 308 s
        (600.0, 6, ", about 3 min left"),  # 200 s
        (7200.0, 5, ", about 72 min left"),
        (36_000.0, 4, ", about 10 h left"),
        (86_400.0, 2, ", about 3 d left"),
        (60.0, 0, ""),  # nobody can tell
        (60.0, 8, ""),  # nothing is left
        (0.0, 4, ""),
        (None, 4, ""),
    ],
)
def test_time_left_goes_on_as_until_now(duration, ended, left):
    """Of eight trials, some have ended in the time that the job has run."""
    trials = [trial(f"t{number}", "TERMINATED" if number < ended else "RUNNING") for number in range(8)]
    look = SearchSnapshot(job("Running", num_samples=8, duration=duration), Listing(trials, 8))

    assert time_left(look, assess(look.job, look.listing, WaitPolicy(), STARTED)) == left


@pytest.mark.parametrize(("phase", "num_samples"), [("Completed", 8), ("Terminating", 8), ("Running", None)])
def test_time_left_of_a_search_that_does_not_run_or_promises_no_number(phase, num_samples):
    """There is nothing to reckon with."""
    trials = [trial("t0"), trial("t1", "RUNNING")]
    look = SearchSnapshot(job(phase, num_samples=num_samples, duration=60.0), Listing(trials, 2))

    assert time_left(look, assess(look.job, look.listing, WaitPolicy(), STARTED)) == ""


def test_table_is_no_wider_than_a_log_viewer():
    """Eight parameters with long names and values: those that do not fit are left out whole."""
    config = {f"parameter_with_a_name_{number}": "x" * 30 for number in range(8)}

    lines = table_of(trial("a", best=0.5, config=config)).splitlines()

    assert lines[1].split() == ["rank", "trial", "acc", *list(config)[:5]]
    assert max(map(len, lines)) <= 160


def test_table_is_aligned():
    """Columns begin under their titles, whatever their widths; the best comes first."""
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
    """A cell is short, on one line, and shows numbers with eight digits at most."""
    row = table_of(trial("a", best=0.5, config={"x": value})).splitlines()[2]

    assert row == f"1     a      0.5  {shown}".rstrip()


def test_table_title_cannot_break_lines():
    """Names of metrics and hyperparameters come from a script: they are cleaned like all else."""
    table = table_of(
        trial("a\nb", best=0.5, config={"l\nr": 1}), criterion=Criterion("a\ncc", Mode.MIN, is_objective=True)
    )

    assert table == expected("""
        1 trials by a?cc (min), best first:
        rank  trial  a?cc  l?r
        1     a?b    0.5   1
    """)


def test_table_is_aligned_with_wide_characters():
    """Chinese characters take two columns of a terminal each: three of them are as wide as six letters."""
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
    """Trials may differ in their hyperparameters: what one does not have is left blank."""
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
    """A line stays readable: the first eight hyperparameters are shown."""
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


def test_table_names_the_rejected():
    """Trials that do not compete stand below, each with its reason."""
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
    """A table without competing trials lists why none competes."""
    assert table_of(trial("a", "RUNNING"), trial("b\n", "PEN\nDING")) == expected("""
        0 trials by acc (max), best first:
        rank  trial  acc
        2 trials do not compete:
        - a   not finished  (RUNNING)
        - b?  not finished  (PEN?DING)
    """)


def test_table_of_no_trials():
    """Without any trial the table is empty, and no error."""
    assert table_of() == "0 trials by acc (max), best first:\nrank  trial  acc"


def test_table_shows_the_first_twenty():
    """Of many trials the first twenty are shown, and the others counted."""
    lines = table_of(*(trial(f"t{number:02}", best=-float(number)) for number in range(23))).splitlines()

    assert lines[0] == "23 trials by acc (max), best first:"
    assert [line.split()[1] for line in lines[2:22]] == [f"t{number:02}" for number in range(20)]
    assert lines[22:] == ["... and 3 more"]


def test_table_of_just_twenty():
    """Of twenty trials none is left out, and nothing is counted."""
    assert len(table_of(*(trial(f"t{number}", best=float(number)) for number in range(20))).splitlines()) == 22


def test_table_shows_the_first_twenty_rejected():
    """Of many rejected trials the first twenty are shown, and the others counted."""
    lines = table_of(*(trial(f"t{number}", "ERROR") for number in range(21))).splitlines()

    assert lines[2] == "21 trials do not compete:"
    assert [line.split()[1] for line in lines[3:23]] == [f"t{number}" for number in range(20)]
    assert lines[23:] == ["... and 1 more"]


def test_table_with_a_limit():
    """The limit holds for both parts, and ties out of sight are not explained."""
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
    """Whatever ids and values hold, a trial is one line, and nothing in it is out of control."""
    trials = [trial(name, best=9.0 - place, config={"x": value}) for place, (name, value) in enumerate(rows)]

    lines = table_of(*trials).splitlines()

    assert len(lines) == 2 + len(trials)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= len("rank") + 2 + 24 + 2 + len("acc") + 2 + 24


def test_table_with_hostile_names_and_values():
    """A trial is one line of bounded length, whatever names and values hold, and however deep they are."""
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
