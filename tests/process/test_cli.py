"""The command line as a user runs it: a process of its own beside the runs that other processes recorded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains.cli.output import Output, clean, clean_lines, sparkline
from atrains.cli.show import _print_curves, _print_plots

RECORD = """
from atrains import Task

with Task.init("vision/cats", "first", task_type="training") as task:
    task.connect({"lr": 0.1, "net": {"width": 64, "name": "resnet"}})
    task.set_tags(["baseline"])
    logger = task.get_logger()
    for step in range(200):
        logger.report_scalar("loss", "train", value=1 / (step + 1), iteration=step)
    logger.report_single_value("score", 0.75)
    logger.report_confusion_matrix("confusion", "test", [[50, 2], [1, 47]], 7, xlabels=["cat", "dog"], ylabels=["cat", "dog"])
    logger.report_table("worst", "ten", 7, [["image", "error"], *([f"{number}.png\\x1b[2J", number / 2] for number in range(20))])
    logger.report_histogram("bars", "b", [1, 2])
    for number in range(30):
        logger.report_text(f"line {number}", print_console=False)
    task.upload_artifact("weights", {"bias": [1, 2, 3]})

try:
    with Task.init("speech", "second\\x1b[31m red") as task:
        raise RuntimeError("the microphone is off")
except RuntimeError:
    pass
"""


def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `atrains` in a process that knows of nothing but this home."""
    return subprocess.run(
        [sys.executable, "-m", "atrains", *arguments],
        env=environment(home) | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    return inherited | {"HOME": str(home.parent), "ATRAINS_HOME": str(home), "PYTHONIOENCODING": "utf-8", "ATRAINS_CAPTURE": "no"}


def record(home: Path, script: str) -> None:
    subprocess.run([sys.executable, "-c", script], env=environment(home), check=True, capture_output=True, timeout=60)


def ok(home: Path, *arguments: str, **variables: str) -> str:
    done = run(home, *arguments, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def listed(home: Path, *arguments: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = json.loads(ok(home, "ls", "--json", *arguments))
    return tasks


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why; a user never gets a traceback for a mistake."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("atrains: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs: the second, newer one failed."""
    path = tmp_path_factory.mktemp("cli") / "home"
    record(path, RECORD)
    return path


@pytest.fixture(scope="module")
def first(home: Path) -> str:
    return str(listed(home, "--project", "vision")[0]["id"])


# ---- ls


def test_ls_lists_the_newest_first(home: Path) -> None:
    lines = ok(home, "ls").splitlines()
    assert [line.split()[1:3] for line in lines] == [["STATUS", "PROJECT"], ["failed", "speech"], ["completed", "vision/cats"]]
    assert " 199 " in lines[2]


def test_ls_json_has_whole_ids_and_fields(home: Path, first: str) -> None:
    newest, oldest = listed(home)
    assert (oldest["id"], len(first)) == (first, 32)
    assert (oldest["name"], oldest["project"], oldest["status"], oldest["last_iteration"]) == ("first", "vision/cats", "completed", 199)
    assert oldest["tags"] == ["baseline"]
    assert newest["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--status", "completed"], ["first"]),
        (["--status", "queued"], []),
        (["--project", "vision"], ["first"]),
        (["--project", "vision/cats"], ["first"]),
        (["--limit", "1"], ["second\x1b[31m red"]),
    ],
)
def test_ls_shows_only_what_was_asked_for(home: Path, arguments: Sequence[str], names: list[str]) -> None:
    assert [task["name"] for task in listed(home, *arguments)] == names


def test_ls_says_that_there_is_more_and_that_there_is_nothing(home: Path) -> None:
    assert "--limit" in ok(home, "ls", "--limit", "1").splitlines()[-1]
    assert ok(home, "ls", "--status", "queued") == "no such tasks\n"


def test_ls_hides_what_was_archived(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home, "from atrains import Task; Task.create('ppp', 'seen'); Task.create('ppp', 'old').set_system_tags(['archived'])")
    assert [task["name"] for task in listed(home)] == ["seen"]
    assert {task["name"] for task in listed(home, "--archived")} == {"seen", "old"}


def test_ls_lists_more_tasks_than_one_answer_holds(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home, "from atrains import Task\nfor number in range(520): Task.create('many', f'task {number}')")
    assert len({task["id"] for task in listed(home, "--limit", "1000")}) == 520
    assert len(listed(home, "--limit", "510")) == 510


def test_a_name_cannot_colour_the_terminal(home: Path) -> None:
    assert "\x1b" not in ok(home, "ls")
    assert "second red" in ok(home, "ls")


# ---- show


def test_show_prints_what_another_process_recorded(home: Path, first: str) -> None:
    text = ok(home, "show", first)
    for expected in (
        "first",
        first,
        "completed",
        "vision/cats",
        "baseline",
        "General/lr",
        "0.1",
        "General/net/width",
        "64",
        "score",
        "0.75",
    ):
        assert expected in text
    (plot,) = [line for line in text.splitlines() if "loss/train" in line]
    assert plot.split()[1].startswith("█")
    assert plot.split()[1].endswith("▁")
    assert "last 0.005" in plot
    assert "max 1" in plot
    assert [line.strip() for line in text.splitlines() if line.strip().startswith("line ")] == [
        f"line {number}" for number in range(20, 30)
    ]
    assert '{ "bias": [ 1, 2, 3 ] }' in text
    assert str(home / "tasks" / first) in text


def test_show_draws_tables_and_matrices_and_lists_plots(home: Path, first: str) -> None:
    text = ok(home, "show", first)
    lines = [" ".join(line.split()) for line in text[text.index("Plots") :].splitlines()]
    assert lines[1:6] == ["bars/b bar, iteration 0", "confusion/test heatmap, iteration 7", "cat dog", "dog 1 47", "cat 50 2"]
    assert lines[6:9] == ["worst/ten table, iteration 7", "image error", "0.png 0"]
    assert "(20 rows, 2 columns)" in lines
    assert "12.png" not in text
    assert "\x1b" not in text
    assert json.loads(ok(home, "show", first, "--json"))["plots"] == [
        {"title": "bars", "series": "b", "iteration": 0, "kinds": ["bar"]},
        {"title": "confusion", "series": "test", "iteration": 7, "kinds": ["heatmap"]},
        {"title": "worst", "series": "ten", "iteration": 7, "kinds": ["table"]},
    ]


def test_show_json_has_the_values_that_were_reported(home: Path, first: str) -> None:
    shown = json.loads(ok(home, "show", first, "--json", "--lines", "2"))
    assert (shown["id"], shown["status"], shown["last_iteration"]) == (first, "completed", 199)
    assert shown["parameters"] == {"General/lr": "0.1", "General/net/width": "64", "General/net/name": "resnet"}
    assert shown["scalars"] == {"loss": {"train": {"last": 0.005, "min": 0.005, "max": 1.0, "iteration": 199}}}
    assert shown["single_values"] == {"score": 0.75}
    assert shown["console"] == ["line 28", "line 29"]
    artifact = shown["artifacts"]["weights"]
    assert json.loads(Path(artifact["url"].removeprefix("file://")).read_text()) == {"bias": [1, 2, 3]}
    assert Path(shown["folder"], "task.json").is_file()


def test_show_gives_the_reason_of_a_failure(home: Path) -> None:
    failed = listed(home, "--status", "failed")[0]
    assert "failed (RuntimeError: the microphone is off)" in ok(home, "show", failed["id"])


def test_show_takes_the_beginning_of_an_id(home: Path, first: str) -> None:
    other = next(task["id"] for task in listed(home) if task["id"] != first)
    length = next(length for length in range(1, 33) if first[:length] != other[:length])
    assert first in ok(home, "show", first[:length])


def test_show_lists_the_candidates_of_an_ambiguous_beginning(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home, "from atrains import Task\nfor number in range(17): Task.create('ppp', f'task {number}')")
    ids = [task["id"] for task in listed(home)]
    digit = next(task_id[0] for task_id in ids if sum(other[0] == task_id[0] for other in ids) > 1)  # 17 ids, 16 digits
    message = refused(run(home, "show", digit))
    assert all(task_id in message for task_id in ids if task_id[0] == digit)


@pytest.mark.parametrize("task", ["0" * 32, "no such", "../etc"])
def test_show_refuses_an_id_that_is_not_there(home: Path, task: str) -> None:
    assert "atrains ls" in refused(run(home, "show", task))


# ---- where it looks, and what it leaves behind


@pytest.mark.parametrize("command", [["ls"], ["show", "abc"], ["ls", "--json"]])
def test_looking_where_nothing_was_recorded_makes_nothing(tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "nowhere" / "home"
    assert f"there is no home at {home}" in refused(run(home, *command))
    assert list(tmp_path.iterdir()) == []


def test_looking_makes_no_journal(home: Path, first: str, tmp_path: Path) -> None:
    copied = tmp_path / "home"
    shutil.copytree(home, copied)
    shutil.rmtree(copied / "journals")
    ok(copied, "ls")
    ok(copied, "show", first)
    assert not (copied / "journals").exists()
    assert (copied / "tasks" / first / "task.json").read_bytes() == (home / "tasks" / first / "task.json").read_bytes()


def test_a_home_can_be_named_whatever_is_configured(home: Path, tmp_path: Path) -> None:
    server = {"CLEARML_API_HOST": "http://localhost:1"}
    elsewhere = tmp_path / "elsewhere"
    assert "CLEARML_API_HOST" in refused(run(elsewhere, "ls", **server))
    assert "vision/cats" in ok(elsewhere, "ls", "--home", str(home), **server)
    assert "vision/cats" in ok(home, "ls", ATRAINS_MODE="disabled")


# ---- arguments and outputs


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["show"], ["ls", "--limit", "0"], ["ls", "--limit", "x"], ["ls", "--status", "nope"]])
def test_a_mistake_in_the_arguments_is_exit_code_2(home: Path, arguments: list[str]) -> None:
    done = run(home, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: atrains")


def test_a_reader_that_goes_away_is_no_error(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "atrains", "ls"], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stream:
        assert stream.read() == b""
    assert process.wait(60) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("command", ["ls", "export"])
def test_an_output_that_takes_nothing_is_named_in_a_line(home: Path, first: str, command: str) -> None:
    arguments = [sys.executable, "-m", "atrains", command, *([first] if command == "export" else [])]
    with open("/dev/full", "w") as full:
        done = subprocess.run(arguments, env=environment(home), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "atrains: cannot write standard output: No space left on device\n")
    closed = subprocess.run([*arguments, "--json"], env=environment(home), stderr=subprocess.PIPE, preexec_fn=_close_output, check=False)
    assert (closed.returncode, closed.stderr) == (0, b"")


def _close_output() -> None:
    os.close(1)


def test_an_output_that_has_no_block_characters_gets_others(home: Path, first: str) -> None:
    done = run(home, "show", first, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    (plot,) = [line for line in done.stdout.splitlines() if "loss/train" in line]
    assert plot.split()[1].startswith("#")
    assert done.stdout.isascii()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_gets_lines_of_its_width(home: Path, first: str, width: int) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    # COLUMNS is for whoever has no terminal to ask.
    process = subprocess.Popen(
        [sys.executable, "-m", "atrains", "show", first], env=environment(home) | {"COLUMNS": "500", "TERM": "xterm"}, stdout=theirs
    )
    os.close(theirs)
    read = bytearray()
    while part := _read(ours):
        read += part
    os.close(ours)
    assert process.wait(60) == 0
    lines = [clean(line) for line in read.decode().splitlines()]
    assert any("loss/train" in line for line in lines)
    # The path of the files is for copying, and never cut.
    assert max(len(line) for line in lines if str(home) not in line) <= width


def printed(capsys: pytest.CaptureFixture[str], width: int | None, show: Callable[[Output], None]) -> list[str]:
    """The lines of a part of `atrains show`, on a terminal of that width or in a pipe."""
    output = Output()
    output.width = width
    show(output)
    return capsys.readouterr().out.splitlines()


def test_curves_of_one_title_are_told_apart_where_their_names_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("cpu_usage", "memory_free_gb", "memory_used_gb")
    known = {name: {"last": -0.0456329, "min": -12.3456, "max": 1.5e9} for name in names}
    lines = printed(capsys, 80, lambda output: _print_curves(output, {":monitor:machine": known}, {}))
    assert all(f"{name[-8:]} " in line for line, name in zip(lines, names, strict=True)), lines
    assert max(map(len, lines)) <= 80
    assert "max 1500000000" in lines[0]


@pytest.mark.parametrize(("width", "columns"), [(80, 9), (None, 10)])
def test_a_matrix_has_the_columns_that_fit(capsys: pytest.CaptureFixture[str], width: int | None, columns: int) -> None:
    figure = {"data": [{"type": "heatmap", "z": [[0.123456] * 10] * 2}]}
    lines = printed(capsys, width, lambda output: _print_plots(output, [("title", "series", 1, figure)]))
    assert lines[1].split() == [str(number) for number in range(columns)]
    assert lines[2].split() == ["1", *["0.1235"] * columns]
    assert lines[4:] == (["    (2 rows, 10 columns)"] if columns < 10 else [])


def test_a_hundred_plots_are_listed_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [("title", str(number), 0, {"data": [{"type": "bar"}]}) for number in range(105)]
    lines = printed(capsys, None, lambda output: _print_plots(output, figures))
    assert (len(lines), lines[-1]) == (101, "  and 5 more")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux: the other side is closed
        return b""


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_every_curve_has_a_plot(values: list[float]) -> None:
    plot = sparkline(values, "012345678")
    assert len(plot) == len(values)
    for value, level in zip(values, plot, strict=True):
        for other, other_level in zip(values, plot, strict=True):
            assert value < other or level >= other_level


@given(st.lists(st.text()))
def test_no_console_text_moves_the_cursor(texts: list[str]) -> None:
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(clean_lines(texts)))


def test_a_progress_bar_counts_as_it_was_last_seen() -> None:
    assert clean_lines(["10%\r50%\r100%\n", "\x1b[1mdone\x1b[0m\tat last\n"]) == ["100%", "done    at last"]
