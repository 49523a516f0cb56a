"""Artifacts: what is uploaded comes back as it was, what cannot be is said in words, and no archive writes where it should not."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atrains._engine.artifact_codec import EncodedArtifact, KnownFailure, Options, decode, encode
from atrains._wire.artifacts import PREVIEW_LIMIT, ArtifactRecord
from atrains.errors import AtrainsError, StorageError, UnsupportedTypeError, ValidationError


def encoded(name: str, obj: object, folder: Path, metadata: Mapping[str, object] | None = None) -> EncodedArtifact:
    artifact = encode(name, obj, folder=folder / "made", metadata=metadata)
    assert isinstance(artifact, EncodedArtifact), artifact
    assert artifact.size == artifact.path.stat().st_size
    # A file of the user's own is read once only, while it is stored: that gives its checksum.
    assert artifact.hash == (hashlib.sha256(artifact.path.read_bytes()).hexdigest() if artifact.temporary else None)
    return artifact


def read_back(artifact: EncodedArtifact, folder: Path) -> object:
    record = ArtifactRecord.from_wire(artifact.record("key", uri="file:///x", timestamp=1).to_wire())
    return decode(artifact.path, record, folder=folder / "unpacked")


def failure(name: str, obj: object, folder: Path) -> str:
    outcome = encode(name, obj, folder=folder / "made")
    assert isinstance(outcome, KnownFailure)
    assert not (folder / "made").exists() or not list((folder / "made").iterdir())
    return outcome.reason


def test_a_dictionary_is_json_with_sorted_keys_that_people_can_read(tmp_path: Path) -> None:
    artifact = encoded("config", {"b": [1, None], "a": "ä"}, tmp_path)
    assert (artifact.type, artifact.content_type, artifact.file_name) == ("JSON", "application/json", "config.json")
    text = '{\n    "a": "ä",\n    "b": [\n        1,\n        null\n    ]\n}'
    assert artifact.path.read_text(encoding="utf-8") == text == artifact.preview
    assert artifact.temporary
    assert read_back(artifact, tmp_path) == {"a": "ä", "b": [1, None]}
    assert encoded("config.json", {}, tmp_path).file_name == "config.json"


def test_keys_that_cannot_be_sorted_are_kept_in_their_order(tmp_path: Path) -> None:
    assert read_back(encoded("mixed", {"b": 1, 2: {"x": 1, None: 2}}, tmp_path), tmp_path) == {"b": 1, "2": {"x": 1, "null": 2}}


@pytest.mark.parametrize(
    ("obj", "type", "file_name"),
    [
        ([1, "two", {"three": 3.5}], "JSON", "thing.json"),
        ("some text\r\nof two lines", "string", "thing.txt"),
        ("", "string", "thing.txt"),
        ("x" * 5000, "string", "thing.txt"),
        ("is there a/place? *really*", "string", "thing.txt"),
        ("a\0b", "string", "thing.txt"),
        (b"\x00\xff" * 100, "bytes", "thing.bin"),
        (b"", "bytes", "thing.bin"),
        ({"caf\udce9": 1}, "JSON", "thing.json"),
    ],
)
def test_a_value_comes_back_as_it_was(tmp_path: Path, obj: object, type: str, file_name: str) -> None:
    artifact = encoded("thing", obj, tmp_path)
    assert (artifact.type, artifact.file_name) == (type, file_name)
    assert read_back(artifact, tmp_path) == obj


def test_other_forms_of_bytes_are_bytes(tmp_path: Path) -> None:
    for obj in (bytearray(b"ab"), memoryview(b"ab")):
        assert read_back(encoded("raw", obj, tmp_path), tmp_path) == b"ab"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.dictionaries(texts, json_values, max_size=4) | st.lists(json_values, max_size=4) | st.binary(max_size=50))
def test_whatever_json_or_bytes_hold_comes_back(tmp_path: Path, obj: object) -> None:
    assert read_back(encoded("any", obj, tmp_path), tmp_path) == obj


@pytest.mark.parametrize("form", [".csv.gz", ".csv"])
def test_text_and_names_of_a_data_frame_survive_csv(tmp_path: Path, form: str) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        [["a\rb", 1, 2.5], ["\r\n", 2, 0.5], ['"\n', 3, 1.5]], columns=["text", "n", "n"], index=pd.Index([5, 6, 7], name="n")
    )
    artifact = encode("table", frame, folder=tmp_path / "made", options=Options(extension=form))
    assert isinstance(artifact, EncodedArtifact)
    pd.testing.assert_frame_equal(read_back(artifact, tmp_path), frame)
    plain = encode("table", frame[["n"]], folder=tmp_path / "made", options=Options(extension=".csv"))
    assert isinstance(plain, EncodedArtifact)
    assert plain.path.read_bytes() == b"n,n,n\n5,1,2.5\n6,2,0.5\n7,3,1.5\n"


def test_a_file_is_stored_under_its_own_name_whether_given_as_path_or_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights v1.csv").write_bytes(b"1,2\n" * 512)
    Path("LICENSE").write_bytes(b"free")
    for obj in (Path("weights v1.csv"), "weights v1.csv", str(tmp_path / "weights v1.csv")):
        artifact = encoded("weights", obj, tmp_path)
        assert (artifact.type, artifact.content_type, artifact.file_name) == ("custom", "text/csv", "weights v1.csv")
        assert artifact.preview == "weights v1.csv - 2.00 KiB"
        assert not artifact.temporary
        assert artifact.path == tmp_path / "weights v1.csv"
        assert read_back(artifact, tmp_path) == artifact.path
    assert encoded("license", Path("LICENSE"), tmp_path).content_type == "application/octet-stream"
    assert encoded("license", Path("LICENSE"), tmp_path).file_name == "LICENSE"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for path in ("b.csv", "a.csv", "deep/er/c.csv", "deep/log.txt", "deep/caf\udce9.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path.upper().encode("utf-8", "replace").decode())
    os.utime(folder / "a.csv", (0, 0))  # older than what zip files can tell
    return folder


def files_of(folder: object) -> list[str]:
    assert isinstance(folder, Path)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_comes_back_as_a_folder(results: Path, tmp_path: Path) -> None:
    artifact = encoded("out", results, tmp_path)
    assert (artifact.type, artifact.content_type, artifact.file_name) == ("archive", "application/zip", "results.zip")
    assert artifact.temporary
    assert artifact.preview.startswith("5 files of results, ")
    assert "deep/er/c.csv - 13 bytes" in artifact.preview
    unpacked = read_back(artifact, tmp_path)
    assert files_of(unpacked) == ["a.csv", "b.csv", "deep/caf0xdce9.txt", "deep/er/c.csv", "deep/log.txt"]
    assert isinstance(unpacked, Path)
    assert (unpacked / "deep/er/c.csv").read_text() == "DEEP/ER/C.CSV"
    assert read_back(artifact, tmp_path) == unpacked
    assert files_of(tmp_path / "unpacked") == [f"{unpacked.name}/{name}" for name in files_of(unpacked)]


def test_a_wildcard_takes_the_files_that_fit_at_any_depth(results: Path, tmp_path: Path) -> None:
    for obj in (results / "*.csv", f"{results}/*.csv"):
        artifact = encoded("tables", obj, tmp_path)
        assert artifact.file_name == "results.zip"
        assert files_of(read_back(artifact, tmp_path)) == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert files_of(read_back(encoded("one", results / "?.csv", tmp_path), tmp_path)) == ["a.csv", "b.csv", "deep/er/c.csv"]


@pytest.mark.parametrize(
    ("wildcard", "found"),
    [
        ("results/*/l*.txt", ["deep/log.txt"]),
        ("results/**/c.csv", ["deep/er/c.csv"]),
        ("results/**/*.csv", ["a.csv", "b.csv", "deep/er/c.csv"]),
        ("result?/*/er", ["results/deep/er/c.csv"]),
        ("*/*/log.txt", ["results/deep/log.txt"]),
    ],
)
def test_a_wildcard_may_stand_for_folders(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wildcard: str, found: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for obj in (wildcard, Path(wildcard)):
        assert files_of(read_back(encoded("some", obj, tmp_path), tmp_path)) == found
    several = encoded("several", [tmp_path / wildcard, results / "a.csv"], tmp_path)
    assert {Path(path).name for path in several.sources} == {Path(path).name for path in [*found, "a.csv"]}
    for text in ("/* prose */", "/*abc", "results/*/none", "*/* prose.txt"):
        assert encoded("text", text, tmp_path).type == "string"


def test_what_cannot_go_into_an_archive_is_listed_and_nothing_waits_for_a_pipe(results: Path, tmp_path: Path) -> None:
    os.mkfifo(results / "pipe")
    (results / "broken").symlink_to("nowhere")
    (results / "elsewhere").symlink_to(tmp_path)
    artifact = encoded("out", results, tmp_path)
    assert "pipe - left out: no regular file" in artifact.preview
    assert "broken - left out: a broken link" in artifact.preview
    assert len(files_of(read_back(artifact, tmp_path))) == 5


def test_a_folder_that_we_write_into_does_not_pack_itself(results: Path) -> None:
    artifact = encode("out", results, folder=results / "home" / "temporary")
    assert isinstance(artifact, EncodedArtifact)
    with zipfile.ZipFile(artifact.path) as archive:
        assert not [name for name in archive.namelist() if "home" in name]


def test_a_folder_named_by_dots_gives_its_real_name(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(results)
    assert encoded("out", ".", tmp_path).file_name == "results.zip"
    assert encoded("out", Path("deep/.."), tmp_path).file_name == "results.zip"


def test_a_path_with_nothing_to_upload_is_a_failure_with_its_reason_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        ("missing.csv", "no file or folder"),
        ("missing/*.csv", "no file or folder"),
        ("empty/*.csv", "no file matches"),
        ("empty", "no file"),
        ("pipe", "neither a file nor a folder"),
        ("n" * 300, "File name too long"),
    ):
        reason = failure("results", tmp_path / path, tmp_path)
        assert words in reason
        assert "'results'" in reason
        assert str(tmp_path / path) in reason


@pytest.mark.parametrize(
    "obj", [42, None, 1.5, {1, 2}, (1, 2), object(), {"a": object()}, [{1}], {(1, 2): 3}], ids=lambda obj: type(obj).__name__
)
def test_a_kind_that_cannot_be_stored_lists_the_kinds_that_can(tmp_path: Path, obj: object) -> None:
    with pytest.raises(ValueError, match=r"dict, list, str") as caught:
        encode("thing", obj, folder=tmp_path)
    assert isinstance(caught.value, UnsupportedTypeError)
    assert "'thing'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_array_is_refused_in_words_where_it_could_only_be_pickled(tmp_path: Path) -> None:
    import numpy as np

    for obj, words in ((np.array([object()]), "array of Python objects"), ({"weights": np.zeros(3)}, "ndarray")):
        with pytest.raises(UnsupportedTypeError, match=words):
            encode("thing", obj, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_objects_in_an_array_of_another_client_are_read_when_that_is_asked_for(tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "odd.npz", odd=np.array([{"a": 1}]))
    record = ArtifactRecord("odd", "numpy", content_type="application/numpy")
    with pytest.raises(StorageError, match="allow_pickle=True"):
        decode(tmp_path / "odd.npz", record, folder=tmp_path)
    assert decode(tmp_path / "odd.npz", record, folder=tmp_path, allow_pickle=True).tolist() == [{"a": 1}]


def test_a_dictionary_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    circle: dict[str, object] = {}
    circle["again"] = circle
    with pytest.raises(UnsupportedTypeError):
        encode("circle", circle, folder=tmp_path)


@pytest.mark.parametrize("name", ["", "  ", None, 3, b"a"])
def test_an_artifact_needs_a_name(tmp_path: Path, name: object) -> None:
    with pytest.raises(ValidationError, match="needs a name"):
        encode(name, {}, folder=tmp_path)  # type: ignore[arg-type]


def test_metadata_is_kept_as_text_and_must_be_pairs(tmp_path: Path) -> None:
    artifact = encoded("config", {}, tmp_path, {"rows": 2, 3: None})
    assert artifact.record("config", uri="file:///x", timestamp=7).to_wire()["display_data"] == [["rows", "2"], ["3", "None"]]
    with pytest.raises(ValidationError, match="metadata"):
        encode("config", {}, folder=tmp_path, metadata=["owner"])  # type: ignore[arg-type]


def test_a_long_preview_is_cut_and_the_file_is_whole(tmp_path: Path) -> None:
    artifact = encoded("long", "x" * 200_000, tmp_path)
    assert PREVIEW_LIMIT <= len(artifact.preview) < PREVIEW_LIMIT + 100
    assert artifact.size == 200_000


def test_a_place_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    for obj in ({}, tmp_path / "data"):
        with pytest.raises(StorageError, match="cannot be made"):
            encode("config", obj, folder=tmp_path / "file" / "sub")


# Reading.


def test_both_names_of_a_json_artifact_are_read_and_unknown_types_give_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    for type in ("JSON", "dict"):
        assert decode(path, ArtifactRecord(key="a", type=type), folder=tmp_path) == {"a": 1}
    path.write_text("a: 1")
    assert decode(path, ArtifactRecord(key="a", type="dict", content_type="application/yaml"), folder=tmp_path) == {"a": 1}
    for type, content_type in (("dict", "application/toml"), ("custom", None), ("a newer one", None)):
        assert decode(path, ArtifactRecord(key="a", type=type, content_type=content_type), folder=tmp_path) == path
    with pytest.raises(StorageError, match=r"allow_pickle=True"):
        decode(path, ArtifactRecord(key="a", type="pickle"), folder=tmp_path)


def test_a_file_that_is_not_the_recorded_one_is_never_decoded(tmp_path: Path) -> None:
    artifact = encoded("config", {"a": 1}, tmp_path)
    record = artifact.record("config", uri="file:///x", timestamp=1)
    assert decode(artifact.path, record._replace(hash=artifact.hash.upper()), folder=tmp_path) == {"a": 1}
    artifact.path.write_text(json.dumps({"a": 2}))
    with pytest.raises(StorageError, match=r"'config'.*not the file that was uploaded"):
        decode(artifact.path, record, folder=tmp_path)


@pytest.mark.parametrize("type", ["JSON", "string", "archive"])
def test_content_that_is_not_of_its_type_is_our_error(tmp_path: Path, type: str) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(b"\xff\xfe{ no")
    with pytest.raises(StorageError, match="damaged"):
        decode(path, ArtifactRecord(key="a", type=type), folder=tmp_path / "out")
    with pytest.raises(StorageError, match="missing"):
        decode(tmp_path / "missing", ArtifactRecord(key="a", type=type), folder=tmp_path / "out")


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "a\\..\\..\\evil", "C:\\evil", "C:/evil", "\\\\server\\share\\evil", link("evil")],
    ids=str,
)
def test_an_archive_that_would_write_elsewhere_is_refused_whole(tmp_path: Path, name: str | zipfile.ZipInfo) -> None:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", "good")
        archive.writestr(name, "/etc")
    (tmp_path / "inner").mkdir()
    with pytest.raises(StorageError, match=r"was not unpacked: its entry .*evil"):
        decode(path, ArtifactRecord(key="a", type="archive"), folder=tmp_path / "inner" / "out")
    assert files_of(tmp_path) == ["hostile.zip"]


def test_an_archive_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb", b"")
        archive.filelist[0].file_size = 1 << 60
    with pytest.raises(StorageError, match="make room"):
        decode(path, ArtifactRecord(key="a", type="archive"), folder=tmp_path / "out")
    assert files_of(tmp_path) == ["bomb.zip"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_our_error_or_whole(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b/c", "b/d"):
            archive.writestr(name, name * 50)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    outside = files_of(tmp_path)
    with suppress(AtrainsError):
        unpacked = decode(path, ArtifactRecord(key="a", type="archive"), folder=tmp_path / "out")
        assert isinstance(unpacked, Path)
        assert unpacked.is_dir()
    assert [name for name in files_of(tmp_path) if not name.startswith("out/")] == [name for name in outside if not name.startswith("out/")]
    assert not list((tmp_path / "out").glob(".*"))
