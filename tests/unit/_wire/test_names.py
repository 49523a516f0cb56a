"""Names, types and ids: what a server would refuse is refused before it is sent, with what to do."""

from __future__ import annotations

import pytest

from atrains._wire.names import validate_name, validate_task_id, validate_task_type
from atrains.errors import ValidationError
from atrains.types import TaskTypes


def test_a_name_is_stripped_and_kept() -> None:
    assert validate_name("  ümlaut net\n", what="task") == "ümlaut net"


@pytest.mark.parametrize("name", ["", "ab", "  ab  ", "\t\n ", 42, None, "abc\ud800"])
def test_a_name_that_no_server_takes_is_refused_with_the_name_and_what_it_names(name: object) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_name(name, what="project")  # type: ignore[arg-type]
    assert repr(name) in str(caught.value)
    assert "project" in str(caught.value)


def test_a_task_type_may_be_a_member_a_string_or_nothing() -> None:
    assert validate_task_type(None) is TaskTypes.training
    assert validate_task_type("data_processing") is TaskTypes.data_processing
    assert validate_task_type(TaskTypes.qc) is TaskTypes.qc


@pytest.mark.parametrize("value", ["", "Training", "report", 7])
def test_an_unknown_task_type_lists_the_known_ones(value: object) -> None:
    with pytest.raises(ValueError, match="training, testing, inference") as caught:
        validate_task_type(value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_ids_of_servers_and_of_offline_sessions_are_taken() -> None:
    for task_id in ("0f3a" * 8, "offline-" + "0f3a" * 8):
        assert validate_task_id(f" {task_id} ") == task_id


@pytest.mark.parametrize("task_id", ["", "  ", "..", "../../etc/passwd", "a/b", "a\\b", "a\0b", "x" * 129, None, 5])
def test_an_id_that_could_lead_out_of_a_folder_is_no_id(task_id: object) -> None:
    with pytest.raises(ValidationError, match="no task id"):
        validate_task_id(task_id)  # type: ignore[arg-type]
