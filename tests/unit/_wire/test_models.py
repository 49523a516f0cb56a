"""What records of models and tasks say of models, in old and new layouts, and what files are called."""

from __future__ import annotations

from typing import Any

import pytest

from atrains._wire import models
from atrains._wire.frameworks import Framework, framework_of, with_extension

NEW: dict[str, Any] = {
    "models": {"input": [{"name": "a", "model": "1"}, {"name": "b", "model": "2"}], "output": [{"name": "o", "model": "9"}]}
}
OLD: dict[str, Any] = {
    "execution": {"model": "1"},
    "output": {"model": "9"},
    "comment": "mine\nUsing model id: 2\n using MODEL id: 1\nUsing model id: three and more\n",
}


@pytest.mark.parametrize(
    ("task", "kind", "found"),
    [
        (NEW, "input", ["1", "2"]),
        (NEW, "output", ["9"]),
        (OLD, "input", ["1", "2"]),
        (OLD, "output", ["9"]),
        ({**NEW, **OLD}, "input", ["1", "2"]),
        ({**NEW, "comment": "Using model id: 3"}, "input", ["1", "2", "3"]),
        ({}, "input", []),
        ({"models": None, "execution": None, "comment": None}, "input", []),
        ({"models": {"output": [{"name": "no model"}, {"name": "o", "model": "5"}]}}, "output", ["5"]),
    ],
)
def test_the_models_of_a_task(task: dict[str, Any], kind: Any, found: list[str]) -> None:
    assert [entry["model"] for entry in models.entries_of(task, kind)] == found


def test_a_line_of_the_comment_is_written_once() -> None:
    assert models.with_used("", "1") == "Using model id: 1"
    assert models.with_used("mine", "1") == "mine\nUsing model id: 1"
    assert models.with_used(models.with_used("mine", "1"), "1") == "mine\nUsing model id: 1"


@pytest.mark.parametrize(("model", "wanted", "name"), [("2", "x", "b"), ("3", "x", "x"), ("3", "a", "a (2)"), ("1", "b", "a")])
def test_two_models_of_a_task_never_have_one_name(model: str, wanted: str, name: str) -> None:
    assert models.entry_name(NEW, "input", model, wanted) == name


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("file:///a/b.pt", "b"),
        ("https://x/a%20b.tar.gz", "a b.tar"),
        ("s3://bucket", "bucket"),
        ("", "model"),
        ("/a/.", "model"),
        ("/a/.hidden", ".hidden"),
    ],
)
def test_a_model_is_listed_by_the_name_of_its_file(url: str, stem: str) -> None:
    assert models.stem_of(url) == stem


@pytest.mark.parametrize(
    ("given", "name"), [("w.pt", "w.pt"), ("../w", ".._w"), ("..", "__"), ("a\\b\x00\n", "a_b__"), ("", "_"), ("ü %.pt", "ü %.pt")]
)
def test_a_file_keeps_its_name_where_it_can(given: str, name: str) -> None:
    assert models.file_name(given) == name


@pytest.mark.parametrize(
    ("design", "text"), [({"design": "text", "other": "x"}, "text"), ({"other": "x"}, "x"), ({}, ""), (None, ""), ({"design": None}, "")]
)
def test_the_configuration_is_text(design: Any, text: str) -> None:
    assert models.design_of({"design": design}) == text


def test_a_file_of_the_home_is_recorded_relative_to_it() -> None:
    assert models.in_home("file:///home/a/tasks/1/files/x", "/home/a") == "home://tasks/1/files/x"
    for other in ("file:///home/ab/x", "https://example.com/home/a/x", "home://tasks/1", "file:///home/a"):
        assert models.in_home(other, "/home/a") == other


def test_what_a_model_takes_from_its_task() -> None:
    task = {**NEW, "id": "t", "name": "a task", "project": "p"}
    found = models.inherited(task, design="text", labels={"cat": 1})
    assert found == {
        "name": "a task", "comment": "Created by task id: t", "design": {"design": "text"}, "labels": {"cat": 1},
        "project": "p", "parent": "9",
    }  # fmt: skip
    assert models.inherited({"id": "t"}, design="", labels={}) == {"name": "model", "comment": "Created by task id: t"}
    assert models.inherited({**task, "models": {"input": NEW["models"]["input"]}}, design="", labels={})["parent"] == "1"


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("w.PT", Framework.pytorch), ("w.tar.gz", "TensorFlow"), ("w.keras", "Keras"), ("w.model", "MXNet"), ("w.parquet", "Parquet"),
        ("w.bin", None), ("pt", None),
    ],
)  # fmt: skip
def test_the_framework_is_told_from_the_file(name: str, framework: str | None) -> None:
    assert framework_of(name) == framework


@pytest.mark.parametrize(
    ("target", "file", "name"),
    [("best", "w.pt", "best.pt"), ("best.pt", "w.pt", "best.pt"), ("best", "w.bin", "best"), ("b.h5", "w.pt", "b.h5.pt")],
)
def test_a_stored_file_has_the_extension_of_its_framework(target: str, file: str, name: str) -> None:
    assert with_extension(target, file) == name
