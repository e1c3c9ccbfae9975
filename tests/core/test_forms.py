"""A form made out of a schema gives documents that the schema accepts."""

from __future__ import annotations

import pytest
from lxml import etree

from core import discovery, forms, stages
from core.errors import ConfigError, SchemaViolation
from core.forms import Choice, Group, Value
from core.route import Format

SCHEMA = "sfr/snils/v1/snils-by-additional-data.xsd"
SPACE = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
ROOT = f"{{{SPACE}}}SnilsByAdditionalDataRequest"
FORM = Format("1.0.1", root=ROOT, schema=SCHEMA)
WHO = {"FamilyName": "Ёлкина", "FirstName": "Анна", "BirthDate": "1990-02-03", "Gender": "Female"}


@pytest.fixture(scope="module")
def form() -> Group:
    return forms.form_of(SCHEMA, ROOT)


def document(form: Group, values: dict[str, str]) -> etree._Element:
    return etree.fromstring(etree.tostring(forms.document_of(form, values)))


@pytest.mark.feature("SMEV-08")
def test_labels_are_the_words_of_the_schema(form: Group) -> None:
    labels = {part.path: part.label for part in form.parts if isinstance(part, Value)}
    assert labels["FamilyName"] == "Фамилия"
    gender = next(part for part in form.parts if part.path == "Gender")
    assert isinstance(gender, Value)
    assert gender.options == (("Male", "мужской"), ("Female", "женский"))


def test_a_choice_among_choices_is_one_choice(form: Group) -> None:
    [choice] = [part for part in form.parts if isinstance(part, Choice)]
    assert choice.parts[0].label == "Паспорт гражданина РФ"
    assert choice.parts[-1].path == "PfrIdentificationDocument"
    assert not choice.required
    assert all(isinstance(part, Group) for part in choice.parts)


@pytest.mark.feature("SMEV-08")
def test_what_is_filled_in_becomes_a_valid_document(form: Group) -> None:
    made = document(form, WHO)
    stages.validate(FORM, made)
    assert made.tag == ROOT
    assert [etree.QName(child).localname for child in made] == ["FamilyName", "FirstName", "BirthDate", "Gender"]


def test_an_optional_group_appears_when_something_in_it_is_filled_in(form: Group) -> None:
    place = {"BirthPlace/PlaceType": "СТАНДАРТНОЕ", "BirthPlace/Settlement": "Тула"}
    made = document(form, WHO | place)
    stages.validate(FORM, made)
    assert made.findtext(f"{{{SPACE}}}BirthPlace/{{*}}Settlement") == "Тула"


def test_only_the_chosen_alternative_is_written(form: Group) -> None:
    [choice] = [part for part in form.parts if isinstance(part, Choice)]
    passport = {
        "PassportRF/Series": "7001",
        "PassportRF/Number": "123456",
        "PassportRF/IssueDate": "2010-01-01",
        "PassportRF/Issuer": "ОВД Тулы",
        "DrivingLicenseRF/Number": "654321",
    }
    made = document(form, WHO | passport | {f"{choice.path}?": "PassportRF"})
    stages.validate(FORM, made)
    assert made.find("{*}PassportRF") is not None
    assert made.find("{*}DrivingLicenseRF") is None


def test_what_is_missing_is_told_by_the_schema(form: Group) -> None:
    made = document(form, {"FamilyName": "Ёлкина"})
    with pytest.raises(SchemaViolation):
        stages.validate(FORM, made)


def test_names_that_the_form_does_not_have_change_nothing(form: Group) -> None:
    assert etree.tostring(document(form, WHO | {"../x": "1", "": "2"})) == etree.tostring(document(form, WHO))
    assert {"FamilyName", "PassportRF/Series"} < set(forms.paths(form))


def test_a_root_that_the_schema_does_not_declare_is_refused() -> None:
    with pytest.raises(ConfigError, match="нет элемента"):
        forms.form_of(SCHEMA, f"{{{SPACE}}}Nothing")


@pytest.mark.parametrize("schema", ["zags/death/v1/fatalzp.xsd", "fns/egrul/v1/egrul-news.xsd"])
def test_large_schemas_make_forms_too(schema: str) -> None:
    roots = {form.root for route in discovery.routes() for form in route.formats if form.schema == schema}
    assert roots
    for root in roots:
        assert list(forms.paths(forms.form_of(schema, root)))
