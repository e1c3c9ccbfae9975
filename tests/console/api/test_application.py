"""The API as a whole: nobody without a token, problems in Russian, one valid document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from console.api.application import build
from console.api.document import operations
from console.api.resource import ANY, BODY_MOST_BYTES, Operation
from core.access import tokens
from core.access.permissions import PERMISSIONS
from core.errors import Unavailable

NOTHING = str(UUID(int=1))
_VALUES = {"message_id": NOTHING, "part": "body"}


def every_operation(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(METHOD, path that can be called, permission)."""
    for path, method, operation in operations(document):
        concrete = re.sub(r"\{(\w+)\}", lambda found: _VALUES.get(found[1], "1"), path)
        yield method, concrete, operation["x-permission"]


def is_problem(answer: Any, status: int, kind: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert re.search("[а-я]", told["title"])
    assert re.search("[а-я]", told["detail"])
    assert told["instance"] == answer.request.url.path
    return (answer.status_code, told["status"], told["type"]) == (status, status, f"/api/v1/problems/{kind}")


@pytest.mark.feature("SMEV-07")
def test_every_operation_refuses_who_has_no_token_an_unknown_one_or_one_without_the_scope(bus_of, api_of) -> None:
    bus = bus_of()
    api = api_of(bus)
    document = api.everything().get("/openapi.json").json()
    nobody, forger = api.nobody(), api.nobody()
    forger.headers["Authorization"] = f"Bearer {tokens.PREFIX}{'x' * 43}"
    found = list(every_operation(document))
    assert len(found) >= 20
    without = {one: api.token(*(set(PERMISSIONS) - {one})) for one in {one for *_, one in found} if one != ANY}
    for method, path, permission in found:
        body = {"content": b"{not json", "headers": {"content-type": "text/plain"}} if method != "GET" else {}
        stranger = nobody.request(method, path, **body)
        assert is_problem(stranger, 401, "token"), (method, path)
        assert stranger.headers["www-authenticate"] == 'Bearer realm="omsbus"'
        unknown = forger.request(method, path, **body)
        assert is_problem(unknown, 401, "token"), (method, path)
        assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
        if permission != ANY:
            refused = without[permission].request(method, path, **body)
            assert is_problem(refused, 403, "scope"), (method, path)
            assert f'scope="{permission}"' in refused.headers["www-authenticate"]
            assert PERMISSIONS[permission] in refused.json()["detail"]


def test_every_route_is_an_operation_with_a_known_permission(bus_of) -> None:
    routes = build(bus_of()).routes
    assert routes
    assert all(isinstance(route, Operation) for route in routes)
    assert {route.permission for route in routes} <= {*PERMISSIONS, ANY}  # type: ignore[attr-defined]


def test_a_revoked_token_opens_nothing(bus_of, api_of) -> None:
    bus = bus_of()
    caller = api_of(bus).token("queues.read", name="gone")
    assert caller.get("/queues").status_code == 200
    tokens.revoke(bus.database, "gone", actor="test")
    assert is_problem(caller.get("/queues"), 401, "token")


def test_an_authorization_of_another_kind_is_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of()).nobody()
    for given in ("Basic dXNlcjpwYXNz", "Bearer", "Bearer  ", "omsbus_x", f"Bearer {'x' * 600}"):
        assert is_problem(caller.get("/queues", headers={"Authorization": given}), 401, "token"), given


def test_a_session_of_the_console_opens_nothing_here(bus_of, console_of) -> None:
    assert console_of(bus_of()).person("administrator").get("/api/v1/queues").status_code == 401


def test_an_unknown_address_and_method_are_problems(bus_of, api_of) -> None:
    api = api_of(bus_of())
    caller = api.everything()
    assert is_problem(api.nobody().get("/nothing"), 401, "token")
    assert is_problem(caller.get("/nothing"), 404, "missing")
    assert is_problem(caller.get("/queues/"), 404, "missing")
    for path, status in (("/queues/a%0Ab", 422), ("/a%0A", 404)):
        told = caller.get(path)
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
    refused = caller.delete("/queues")
    assert is_problem(refused, 405, "method")
    assert refused.headers["allow"] == "GET"


def test_unknown_and_repeated_values_of_the_query_are_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of()).everything()
    refused = caller.get("/messages?qeue=x&limit=1&limit=2")
    assert is_problem(refused, 422, "values")
    assert [one["place"] for one in refused.json()["errors"]] == ["query.qeue", "query.limit"]
    assert is_problem(caller.get("/queues?x=1"), 422, "values")
    assert is_problem(caller.get("/messages?limit=501"), 422, "values")


def test_a_cursor_that_is_not_ours_is_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of()).everything()
    for cursor in ("e30", "bm90IGpzb24", "eyJiZWZvcmUiOi0xfQ", "A"):
        assert is_problem(caller.get(f"/messages?cursor={cursor}"), 400, "cursor"), cursor


def test_bodies_are_json_of_a_limited_size_with_known_fields(bus_of, api_of) -> None:
    caller = api_of(bus_of()).everything()
    pause = "/queues/unknown/pause"
    json_type = {"content-type": "application/json"}
    assert is_problem(caller.post(pause, content="reason=x", headers={"content-type": "text/plain"}), 415, "media-type")
    assert is_problem(caller.post(pause, content=b"{"), 415, "media-type")
    for broken in (b"{", b'{"reason": "\xff"}'):
        assert is_problem(caller.post(pause, content=broken, headers=json_type), 400, "malformed")
    large = b'"' + b"x" * BODY_MOST_BYTES + b'"'
    assert is_problem(caller.post(pause, content=large, headers=json_type), 413, "too-large")
    assert is_problem(caller.post(pause, content=iter([large]), headers=json_type), 413, "too-large")
    refused = caller.post(pause, json={"reason": "x", "why": "y"})
    assert is_problem(refused, 422, "values")
    assert refused.json()["errors"] == [
        {"place": "body.why", "text": "такого поля нет: удалите его или исправьте опечатку"}
    ]
    for bad in ({"reason": "a\x00b"}, {"reason": 5}, [], {"reason": "x" * 501}):
        assert is_problem(caller.post(pause, json=bad), 422, "values")
    assert is_problem(caller.post(pause, content=b'{"reason": "\\ud800"}', headers=json_type), 422, "values")


WEAPONS = {
    "depth": b"[" * 100_000,
    "digits": b'{"rate_per_s": ' + b"9" * 10_000 + b"}",
    "nan": b'{"rate_per_s": NaN}',
    "infinity": b'{"rate_per_s": 1e999}',
    "nothing": b"",
    "null": b"null",
    "utf-16": b"\xff\xfe{}",
    "nested": b'{"ids": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
}


def test_json_that_is_a_weapon_is_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of()).everything()
    for name, body in WEAPONS.items():
        refused = caller.post("/jobs", content=body, headers={"content-type": "application/json"})
        assert refused.status_code in (400, 422), name
        assert refused.headers["content-type"] == "application/problem+json", name


def test_a_defect_is_a_problem_with_a_number(bus_of, api_of, monkeypatch) -> None:
    bus = bus_of()
    caller = api_of(bus).everything()
    monkeypatch.setattr(bus.watched, "look", lambda: 1 / 0)
    failed = caller.get("/health")
    assert is_problem(failed, 500, "defect")
    assert re.search("под номером [0-9a-f]{8}", failed.json()["detail"])


def test_a_database_that_is_away_is_a_problem_that_says_when_to_come_again(bus_of, api_of, monkeypatch) -> None:
    bus = bus_of()
    caller = api_of(bus).everything()
    monkeypatch.setattr("core.access.tokens.person_of", _away)
    failed = caller.get("/queues")
    assert is_problem(failed, 503, "unavailable")
    assert int(failed.headers["retry-after"]) > 0


def _away(*_: Any) -> None:
    raise Unavailable("База данных недоступна; шина повторит сама")


def test_the_document_is_valid_russian_and_complete(bus_of, api_of) -> None:
    caller = api_of(bus_of()).token("evidence.make")
    document = caller.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(document):
        assert re.search("[а-я]", operation["summary"]), (method, path)
        assert operation["security"]
        assert {"401", "403", "500", "503"} <= operation["responses"].keys()
        assert "Successful" not in str(operation["responses"])
        for parameter in operation.get("parameters", ()):
            assert re.search("[а-я]", str(parameter)), (method, path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        assert re.search("[а-я]", schema.get("title", "")), name
        for field, one in schema.get("properties", {}).items():
            assert re.search("[а-я]", one.get("title", "")), (name, field)
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', caller.get("/openapi.json").text))
    assert all(name in document["components"][part] for part, name in references)
