"""A document is shown as fields, each with the label that its schema gives it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from core import discovery, labels
from core.labels import fields, labels_of, labels_of_schema
from core.route import Route

pytestmark = pytest.mark.feature("BUS-10")


def test_labels_come_from_the_annotations_of_a_schema_and_of_what_it_includes() -> None:
    found = labels_of_schema("sfr/snils/v1/snils-by-additional-data.xsd")
    assert found["FamilyName"] == "Фамилия"
    assert found["BirthCertificate"]


def test_fields_follow_the_document() -> None:
    body = b'<p:a xmlns:p="urn:p" x="1"><p:b>two</p:b><p:c><p:d y="3">four</p:d></p:c></p:a>'
    told = [(one.depth, one.name, one.label, one.value) for one in fields(body, {"b": "Второе", "y": "Игрек"})]
    assert told == [
        (0, "a", "", ""),
        (1, "x", "", "1"),
        (1, "b", "Второе", "two"),
        (1, "c", "", ""),
        (2, "d", "", "four"),
        (3, "y", "Игрек", "3"),
    ]


def test_json_has_fields_too_and_anything_else_has_none() -> None:
    told = [(one.depth, one.name, one.label, one.value) for one in fields(b'{"a": {"b": [1, true]}, "c": null}', {})]
    assert told == [(0, "a", "", ""), (1, "b 1", "", "1"), (1, "b 2", "", "да"), (0, "c", "", "")]
    assert fields("ФИО;Иванов".encode(), {}) == []
    assert fields(b"", {}) == []


def test_a_model_gives_titles_where_there_is_no_schema() -> None:
    class Command(BaseModel):
        person_id: int = Field(title="Номер человека")

    route = Route("t.a", title="", body=Command)
    assert labels_of(route) == {"person_id": "Номер человека"}
    assert labels_of(None) == {}


def test_a_document_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "FIELDS_MOST", 5)
    assert len(fields(b"<a>" + b"<b/>" * 100 + b"</a>", {})) == 5


def test_every_kind_of_ours_has_its_labels_read() -> None:
    for route in discovery.routes():
        assert isinstance(labels_of(route), dict)
