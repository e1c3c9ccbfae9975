"""Settings: what is refused at start, with words that name the key."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"endpoint": {}}, "endpoint"),
        ({"endpoints": {}}, "endpoints"),
        ({"endpoints": {"1.4": "http://127.0.0.1"}}, "1.4"),
        ({"endpoints": {"1.2": "ftp://127.0.0.1"}, "default_version": "1.2"}, "http://"),
        ({"endpoints": {"1.2": "http://user:pass@127.0.0.1"}}, "пароля"),
        ({"endpoints": {"1.2": "http://127.0.0.1"}, "default_version": "1.3"}, "добавьте адрес"),
        ({"versions": {"urn:x": "1.3"}, "endpoints": {"1.2": "http://127.0.0.1"}, "polls": []}, "добавьте адрес"),
        ({"poll_floor_s": 30.0, "polls": [{"name": "a", "operation": "requests", "interval_s": 5}]}, "частый опрос"),
        ({"polls": [{"name": "a", "operation": "requests"}] * 2}, "повторяются"),
        ({"polls": [{"name": "A b", "operation": "requests"}]}, "name"),
        ({"polls": [{"name": "a", "operation": "everything"}]}, "operation"),
        ({"polls": [{"name": "a", "operation": "requests", "namespace": "urn:x"}]}, "только вместе"),
        ({"polls": [{"name": "a", "operation": "status", "namespace": "u", "root": "r"}]}, "GetStatus"),
        ({"polls": [{"name": "a", "operation": "statistics", "version": "1.2"}]}, "1.1"),
        ({"pin": ["abc"]}, "64"),
        ({"next_key_file": "k"}, "только вместе"),
        ({"next_from": datetime(2026, 1, 1)}, "часовой пояс"),
        ({"password_file": "p"}, "password_env"),
        ({"answer_most_bytes": 1 << 40}, "answer_most_bytes"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(settings_of, changes, words) -> None:
    with pytest.raises(ValidationError) as caught:
        settings_of(**changes)
    assert words in str(caught.value)


def test_the_default_floor_is_thirty_seconds_and_the_default_interval_sixty(settings_of) -> None:
    fields = type(settings_of()).model_fields
    assert (fields["poll_floor_s"].default, fields["poll_interval_s"].default) == (30.0, 60.0)


def test_the_newest_version_is_usual_unless_said_otherwise(settings_of) -> None:
    assert settings_of().usual_version == "1.3"
    assert settings_of(default_version="1.1").usual_version == "1.1"


def test_no_default_names_a_host(settings_of) -> None:
    assert "http" not in str({name: field.default for name, field in type(settings_of()).model_fields.items()})


def test_the_second_identity_signs_from_its_date_on(settings_of) -> None:
    settings = settings_of(next_from=datetime(2026, 5, 1, tzinfo=UTC))
    assert not settings.next_is_due(datetime(2026, 4, 30, 23, tzinfo=UTC))
    assert settings.next_is_due(datetime(2026, 5, 1, 0, tzinfo=UTC))
