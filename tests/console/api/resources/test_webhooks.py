"""Subscriptions by the API: the secret is shown once, what is forbidden is refused."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from core.database import driver
from core.webhooks.settings import WebhooksSettings

WISH = {"title": "Реестр", "url": "https://hooks.example.org/omsbus", "events": ["queue.paused", "message.sent"]}


@pytest.mark.feature("SMEV-07")
def test_a_subscription_is_made_changed_paused_and_removed(bus_of, api_of) -> None:
    bus = bus_of()
    caller = api_of(bus).token("webhooks.write", name="erz")
    made = caller.post("/webhooks", json=WISH)
    assert made.status_code == 201
    number, secret = made.json()["id"], made.json()["secret"]
    assert secret.startswith("whsec_")
    shown = caller.get(f"/webhooks/{number}")
    assert shown.json()["created_by"] == "token:erz"
    assert secret not in shown.text + caller.get("/webhooks").text
    changed = caller.put(f"/webhooks/{number}", json={**WISH, "title": "Другой", "queues": ["smev"]}).json()
    assert (changed["title"], changed["queues"]) == ("Другой", ["smev"])
    assert caller.post(f"/webhooks/{number}/pause").json()["state"] == "paused"
    assert caller.post(f"/webhooks/{number}/resume", json={"skip": True}).json()["state"] == "active"
    assert caller.post(f"/webhooks/{number}/secret").json()["secret"] != secret
    assert caller.delete(f"/webhooks/{number}").status_code == 204
    assert caller.get("/webhooks").json() == {"items": []}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/secret"), ("GET", "/attempts")):
        assert caller.request(method, f"/webhooks/{number}{path}").status_code == 404
    with bus.database.transaction() as connection:
        rows = driver(connection).execute("SELECT action FROM bus.audit WHERE object_kind = 'webhook' ORDER BY seq")
        assert [row[0].removeprefix("webhook.") for row in rows] == [
            "created", "changed", "paused", "resumed", "secret_renewed", "removed",
        ]  # fmt: skip


def test_the_secret_is_stored_nowhere_not_even_under_a_key(bus_of, api_of) -> None:
    bus = bus_of()
    caller = api_of(bus).token("webhooks.write")
    headers = {"Idempotency-Key": "k"}
    first = caller.post("/webhooks", json=WISH, headers=headers).json()
    again = caller.post("/webhooks", json=WISH, headers=headers).json()
    assert again == {"id": first["id"], "secret": None}
    with bus.database.transaction() as connection:
        db = driver(connection)
        for table in ("idempotency", "webhook", "audit"):
            rows = db.execute(f"SELECT t::text, encode(t::text::bytea, 'escape') FROM bus.{table} t").fetchall()
            assert first["secret"] not in str(rows)
        body = db.execute("SELECT body FROM bus.idempotency").fetchone()
    assert body
    assert first["secret"].encode() not in bytes(body[0])


def test_an_inner_or_unsafe_address_is_refused(bus_of, api_of) -> None:
    caller = api_of(bus_of()).token("webhooks.write")
    for url in ("https://127.0.0.1/", "https://10.0.0.5/", "http://8.8.8.8/x", "https://[::1]/", "ftp://example.org/"):
        assert caller.post("/webhooks", json={**WISH, "url": url}).status_code == 409, url


def test_a_test_tells_what_came_of_it(bus_of, api_of) -> None:
    bus = bus_of(webhooks=WebhooksSettings(allow=[ip_network("127.0.0.0/8")]))
    caller = api_of(bus).token("webhooks.write")
    number = caller.post("/webhooks", json={**WISH, "url": "http://127.0.0.1:1/"}).json()["id"]
    tried = caller.post(f"/webhooks/{number}/test").json()
    assert (tried["status"], tried["events"]) == (None, 1)
    assert "недоступен" in tried["note"]
    [kept] = caller.get(f"/webhooks/{number}/attempts").json()["items"]
    assert kept["delivery"].startswith("test-")
