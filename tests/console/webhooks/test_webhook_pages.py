"""The page of webhooks: a subscription from its form to its removal; nobody without the permission."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from console.webhooks import pages
from core.webhooks import subscriptions
from core.webhooks.settings import WebhooksSettings
from core.webhooks.subscriptions import Wanted

WISH = {"title": "Реестр", "url": "https://hooks.example.org/", "events": ["queue.paused"], "queues": ["unknown"]}


@pytest.mark.feature("SMEV-07")
def test_a_subscription_from_its_form_to_its_removal(bus_of, console_of) -> None:
    bus = bus_of()
    administrator = console_of(bus).person("administrator")
    assert "Подписок нет" in administrator.get("/webhooks").text
    made = administrator.submit("/webhooks/new", **WISH)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert secret
    [one] = subscriptions.listed(bus.database)
    assert (one.events, one.queues, one.created_by) == (("queue.paused",), ("unknown",), administrator.login)
    home = f"/webhooks/{one.id}"
    for path in ("/webhooks", "/webhooks/part", home, f"{home}/part", f"{home}/edit"):
        page = administrator.get(path)
        assert page.status_code == 200
        assert "Реестр" in page.text or path.endswith("part")
        assert secret[0] not in page.text
    assert administrator.submit(f"{home}/edit", **WISH | {"title": "Другой"}).status_code == 303
    administrator.submit(f"{home}/pause")
    assert "Продолжить" in administrator.get(home).text
    administrator.submit(f"{home}/resume", skip="1")
    assert subscriptions.get(bus.database, one.id).state == "active"
    renewed = administrator.submit(f"{home}/secret")
    assert "whsec_" in renewed.text
    assert secret[0] not in renewed.text
    administrator.submit(f"{home}/remove")
    assert administrator.get(home).status_code == 404


def test_what_is_refused_stays_in_the_form(bus_of, console_of) -> None:
    administrator = console_of(bus_of()).person("administrator")
    refused = administrator.submit("/webhooks/new", **WISH | {"url": "https://10.0.0.1/hook", "title": "Внутренний"})
    assert refused.status_code == 409
    assert "внутренней сети" in refused.text
    assert 'value="Внутренний"' in refused.text
    assert 'value="https://10.0.0.1/hook"' in refused.text


def test_a_failed_test_is_told_and_kept(bus_of, console_of) -> None:
    bus = bus_of(webhooks=WebhooksSettings(allow=[ip_network("127.0.0.0/8")]))
    made, _ = subscriptions.create(bus, Wanted("Нет", "http://127.0.0.1:1/", ("queue.paused",)), actor="test")
    administrator = console_of(bus).person("administrator")
    administrator.submit(f"/webhooks/{made}/test")
    page = administrator.get(f"/webhooks/{made}")
    assert page.text.count("Получатель недоступен") >= 2


def test_nobody_without_the_permission_sees_or_changes_anything(bus_of, console_of) -> None:
    bus = bus_of()
    made, _ = subscriptions.create(bus, Wanted("x", "https://example.org/", ("queue.paused",)), actor="test")
    person = console_of(bus).person("operator", "auditor", "approver", "personal")
    for route in pages.router.routes:
        path = route.path.replace("{webhook_id}", str(made))  # type: ignore[attr-defined]
        answer = person.get(path) if "GET" in route.methods else person.submit(path, **WISH)  # type: ignore[attr-defined]
        assert answer.status_code == 403, path
    assert [one.id for one in subscriptions.listed(bus.database)] == [made]


def test_a_number_that_is_none_is_a_page_that_says_so(bus_of, console_of) -> None:
    administrator = console_of(bus_of()).person("administrator")
    for path in ("/webhooks/999", f"/webhooks/{10**30}", "/webhooks/-1/edit"):
        assert administrator.get(path).status_code == 404
