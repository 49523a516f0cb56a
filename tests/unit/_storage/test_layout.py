"""Where files go: the layout other clients know, and never outside of the destination, whatever a name holds."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._storage.layout import escape_component, file_path, join_url, task_folder

ID = "0f3a" * 8
# Whatever a user can type, and what an undecodable file name gives.
anything = st.text(st.characters(exclude_categories=()), max_size=400) | st.sampled_from(["..", ".", "../..", "/", "", "\\..\\", "a\0b"])


@pytest.mark.parametrize(
    ("project", "name", "folder"),
    [
        ("my project", "train", f"my project/train.{ID}"),
        ("team/vision", "train", f"team/vision/train.{ID}"),
        ("a#b", "50% é", f"a%23b/50%25 %C3%A9.{ID}"),
        ("plain'[]{}()$^,.; -_+=~", "a/b", f"plain'[]{{}}()$^,.; -_+=~/a%2Fb.{ID}"),
        ("../../etc", "..", f"%2E%2E/%2E%2E/etc/%2E%2E.{ID}"),
        ("/a//b/", "run", f"a/b/run.{ID}"),
        (None, "run", f"unknown/run.{ID}"),
    ],
)
def test_the_task_folder_is_the_one_that_other_clients_make(project: str | None, name: str, folder: str) -> None:
    assert task_folder(project, name, ID) == folder


def test_long_names_are_cut_in_whole_characters_and_stay_apart() -> None:
    project, task = task_folder("é" * 300, "漢" * 100, ID).split("/")
    assert len(project) <= 250
    assert len(task) <= 128
    assert task.endswith(f".{ID}")
    assert set(unquote(task.removesuffix(f".{ID}"), errors="strict")) == {"漢"}
    assert task_folder("p" * 300, "run", ID) != task_folder("p" * 301, "run", ID)
    assert task_folder("p/" * 200, "run", ID) != task_folder("p/" * 201, "run", ID)


@given(anything, anything)
def test_no_project_and_no_task_name_leads_out_of_the_destination(project: str, name: str) -> None:
    folder = task_folder(project, name, ID)
    parts = folder.split("/")
    assert all(part.strip(". ") and len(part) <= 255 for part in parts)
    assert parts[-1].endswith(f".{ID}")
    assert len(folder) <= 256 + 1 + 128
    assert folder.isascii()
    assert folder.isprintable()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("my art/x:y", "my art.slash.x0x3ay"),
        ("/inner\\slash/", "inner.slash.slash"),
        ("\"#';?:@&=+$,%!\r\n", "0x220x230x270x3b0x3f0x3a0x400x260x3d0x2b0x240x2c0x250x210x0d0x0a"),
        ("data.csv", "data.csv"),
        ("..", "0x2e0x2e"),
        ("///", "_"),
        ("naïve 漢", "naïve 漢"),
        ("caf\udce9.txt", "caf0xdce9.txt"),
    ],
)
def test_a_component_is_escaped_as_other_clients_do(text: str, escaped: str) -> None:
    assert escape_component(text) == escaped


@given(anything)
def test_a_component_is_always_one_safe_part_of_a_path(text: str) -> None:
    escaped = escape_component(text)
    assert 0 < len(escaped.encode()) <= 250
    assert escaped.strip(".")
    assert not set(escaped) & set("/\\\0#\"';?:@&=+$,%!\r\n")


def test_a_long_file_name_keeps_its_suffix_and_differs_from_its_neighbour() -> None:
    long = escape_component("漢" * 200 + ".csv.gz")
    assert long.endswith(".csv.gz")
    assert len(long.encode()) <= 250
    assert long != escape_component("漢" * 201 + ".csv.gz")


def test_the_url_of_an_artifact_is_the_one_of_the_reference_example() -> None:
    folder = task_folder("a#b", "My exp", "0123")
    path = file_path(folder, "artifacts", "my art/x:y", "data.csv")
    assert path == "a%23b/My exp.0123/artifacts/my art.slash.x0x3ay/data.csv"
    assert join_url("http://files:8081/", path) == "http://files:8081/a%2523b/My%20exp.0123/artifacts/my%20art.slash.x0x3ay/data.csv"
    assert join_url("file:///data/out", path) == f"file:///data/out/{path}"
    assert join_url("s3://bucket/x", path) == f"s3://bucket/x/{path}"
