"""The record of an artifact: what is sent is what a server keeps, and what other clients wrote can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.artifacts import PREVIEW_LIMIT, ArtifactRecord, cut_preview, human_size

AS_A_SERVER_KEEPS_IT = {
    "key": "my table",
    "type": "pandas",
    "mode": "output",
    "uri": "http://files.example:8081/My%20Project/exp%20one.T/artifacts/my%20table/my%20table.csv.gz",
    "content_size": 1234,
    "hash": "ab" * 32,
    "timestamp": 1700000000,
    "type_data": {"preview": "   a  b\n0  1  2", "content_type": "text/csv", "data_hash": "cd" * 32},
    "display_data": [["owner", "me"], ["rows", "2"]],
}


def test_a_full_record_goes_through_unchanged() -> None:
    record = ArtifactRecord.from_wire(AS_A_SERVER_KEEPS_IT)
    assert record.metadata == {"owner": "me", "rows": "2"}
    assert record.to_wire() == AS_A_SERVER_KEEPS_IT


def test_what_is_not_known_is_omitted_and_never_null() -> None:
    assert ArtifactRecord(key="link", type="custom").to_wire() == {"key": "link", "type": "custom", "mode": "output"}


def test_a_record_with_nulls_and_fields_of_a_newer_server_can_be_read() -> None:
    record = ArtifactRecord.from_wire({"key": "a", "type": "new kind", "type_data": None, "display_data": None, "hash": None, "added": 1})
    assert record == ArtifactRecord(key="a", type="new kind")


texts = st.text(max_size=8)
records = st.builds(
    ArtifactRecord,
    key=texts,
    type=texts.filter(bool),
    mode=st.sampled_from(["output", "input"]),
    uri=st.none() | texts,
    content_size=st.none() | st.integers(0),
    hash=st.none() | texts,
    timestamp=st.none() | st.integers(0),
    preview=st.none() | texts,
    content_type=st.none() | texts,
    data_hash=st.none() | texts,
    metadata=st.dictionaries(texts, texts, max_size=3),
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: ArtifactRecord) -> None:
    assert ArtifactRecord.from_wire(record.to_wire()) == record


def test_a_long_preview_is_cut_and_says_so() -> None:
    assert cut_preview("x" * PREVIEW_LIMIT) == "x" * PREVIEW_LIMIT
    notice, _, rest = cut_preview("x" * 100_000).partition("\n")
    assert "65,536 of 100,000" in notice
    assert rest == "x" * PREVIEW_LIMIT


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (5 << 20, "5.00 MiB"), (3 << 50, "3072.00 TiB")],
)
def test_sizes_read_well(size: int, text: str) -> None:
    assert human_size(size) == text
