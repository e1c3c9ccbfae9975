"""A day of people at work, in a real browser, over the running show: from the sign-in to the look at the audit.

The steps follow each other on one bus, so they are one test; the pictures are in build/screenshots/day.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import expect

from core.database import Database, driver
from core.message import Message

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TWENTY = 20


def one(database: Database, query: str, *values: Any) -> Any:
    with database.transaction() as connection:
        row = driver(connection).execute(query, values).fetchone()
    assert row is not None, query
    return row[0]


def make_poor(show: Any, count: int) -> None:
    """That many commands for people who are not in the registry: each comes to quarantine, for one reason."""
    from core.bus import Bus
    from core.settings import load

    settings = load(show.world.config, data_dir=show.world.home).model_copy(
        update={"database_url": show.world.database_url, "rolling": True}
    )
    with Bus.open(settings, declare=False) as bus:
        bus.engine.put(
            [
                Message(kind="sfr.snils.ask", queue="sfr.snils.ask", body=b'{"person_id": %d}' % (900_000 + place))
                for place in range(count)
            ]
        )


@pytest.mark.feature(
    "BUS-03", "BUS-04", "BUS-06", "BUS-07", "BUS-10", "BUS-11", "BUS-14", "SMEV-08", "SMEV-11", "TECH-01"
)
def test_the_operators_day(show, sit_down, eventually) -> None:
    operator = sit_down("operator")
    page = operator.page
    expect(page.get_by_role("heading", name="Рабочий стол")).to_be_visible()
    operator.shoot("day/01-desk")

    # A death record by name, and the message that wrote it.
    surname = one(show.database, "SELECT surname FROM erz.death_record WHERE person_id IS NOT NULL ORDER BY id LIMIT 1")
    operator.open("/registry/erz/deaths/list")
    page.fill("#registry-find", surname.lower())
    page.get_by_role("button", name="Найти").click()
    expect(page.locator("table tbody")).to_contain_text(surname)
    operator.shoot("day/02-deaths")
    page.locator("table tbody tr").filter(has_text=surname).first.locator("a").first.click()
    expect(page.locator("body")).to_contain_text(surname)
    operator.shoot("day/03-death-record")
    page.locator('a[href*="/messages/"]').first.click()
    expect(page.get_by_role("heading", name="Ход обработки")).to_be_visible()
    message_id = UUID(page.url.rsplit("/", 1)[-1])
    operator.shoot("day/04-timeline")
    page.get_by_role("link", name="Тело", exact=True).click()
    expect(page.locator("#tab-panel")).to_contain_text(re.compile(surname, re.IGNORECASE))
    operator.shoot("day/05-body")
    looked = "SELECT count(*) FROM bus.event WHERE message_id = %s AND stage = 'viewed' AND actor = 'operator'"
    assert one(show.database, looked, message_id) == 1

    # The broken record of the demo: mended, and sent when a second person agrees.
    broken = one(
        show.database, "SELECT message_id FROM bus.entry WHERE state = 'quarantined' AND queue = 'zags.death' LIMIT 1"
    )
    operator.open("/quarantine")
    operator.shoot("day/06-quarantine")
    operator.open(f"/quarantine/corrections/new?message={broken}")
    sample = one(
        show.database,
        "SELECT m.id FROM bus.message m JOIN bus.entry e USING (seq) WHERE e.queue = 'zags.death' "
        "AND e.state = 'handled' AND m.kind = 'zags.death' ORDER BY seq LIMIT 1",
    )
    text = body_of(show, sample)
    page.fill("#text", text)
    page.fill("#note", "Взята исправная запись")
    page.get_by_role("button", name="Проверить и показать отличия").click()
    expect(page.locator("body")).to_contain_text("схема и преобразование принимают")
    operator.shoot("day/07-difference")
    page.get_by_role("button", name="Отдать на утверждение").click()
    if page.locator("dialog.question").count():
        operator.confirm()
    page.wait_for_url(re.compile(r"/quarantine/corrections/\d+"))
    correction = page.url
    operator.shoot("day/08-proposed")
    assert page.get_by_role("button", name="Утвердить").count() == 0, "nobody approves his own correction"
    second = sit_down("approver")
    second.page.goto(correction)
    second.page.get_by_role("button", name=re.compile("Утвердить")).click()
    second.confirm()
    expect(second.page.locator("#said")).to_be_visible()
    second.shoot("day/09-approved")
    state = "SELECT state FROM bus.entry WHERE message_id = %s"
    assert one(show.database, state, broken) == "dropped"
    made = one(show.database, "SELECT id FROM bus.message WHERE cause = %s ORDER BY seq DESC LIMIT 1", broken)
    eventually(lambda: one(show.database, state, made) == "handled")

    # Twenty of one reason, sent again as one job; they fail again, and the job stops by itself.
    make_poor(show, TWENTY)
    waiting = "SELECT count(*) FROM bus.entry WHERE queue = 'sfr.snils.ask' AND state = 'quarantined'"
    eventually(lambda: one(show.database, waiting) == TWENTY, 60)
    operator.open("/quarantine?queue=sfr.snils.ask")
    page.locator(".quarantine-reason").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("20 сообщений")
    operator.shoot("day/10-reason")
    page.get_by_label(re.compile("все по этой причине")).check()
    page.fill("#rate", "5")
    page.fill("#errors", "0")
    page.get_by_role("button", name="Отправить повторно").click()
    expect(page.locator("dialog.question")).to_contain_text("20")
    operator.shoot("day/11-question")
    operator.confirm()
    page.wait_for_url(re.compile(r"/quarantine/jobs/\d+"))
    operator.shoot("day/12-job-begins")
    page.get_by_role("button", name="Пауза").click()
    page.get_by_role("button", name="Продолжить").click()
    expect(page.locator("[data-over]")).to_be_visible(timeout=60_000)
    expect(page.locator("[data-over]")).to_contain_text("20")
    operator.shoot("day/13-job-over")

    # A queue rests, with a reason that everybody sees, and goes on.
    operator.open("/queues/sfr.snils.ask")
    page.fill("#reason", "ждём новых людей в реестре")
    page.locator('form[action$="/pause"] button').click()
    operator.confirm()
    expect(page.locator("main")).to_contain_text("ждём новых людей в реестре")
    operator.shoot("day/14-paused")
    page.locator('form[action$="/resume"] button').first.click()
    if page.locator("dialog.question").count():
        operator.confirm()
    eventually(lambda: one(show.database, "SELECT state FROM bus.queue WHERE name = 'sfr.snils.ask'") == "running")

    # A question to СФР by hand, and its answer.
    operator.open("/requests/new/sfr.snils.request")
    for name, value in {"FamilyName": "Пробная", "FirstName": "Анна", "BirthDate": "1990-02-03"}.items():
        page.fill(f'[name="{name}"]', value)
    page.select_option('[name="Gender"]', "Female")
    operator.shoot("day/15-request")
    page.locator(".request-form button[type=submit]").click()
    operator.confirm()
    expect(page.locator("[data-over]")).to_be_visible(timeout=60_000)
    expect(page.locator("[data-over]")).to_contain_text(re.compile("ответ получен|отказ"))
    operator.shoot("day/16-answer")

    # The evidence of the death message.
    operator.open(f"/messages/{message_id}/evidence")
    operator.shoot("day/17-evidence")
    with page.expect_download() as download:
        page.locator('main form[method="post"] button[type=submit]').first.click()
        if page.locator("dialog.question").count():
            operator.confirm()
    assert download.value.suggested_filename.endswith(".zip")

    # The administrator makes a schedule, runs it, and looks at who did what.
    administrator = sit_down("admin")
    desk = administrator.page
    administrator.open("/schedules/new")
    desk.fill("#title", "Ночной опрос СМЭВ")
    desk.fill("#cron", "15 3 * * 1-5")
    expect(desk.locator("#preview")).to_contain_text("03:15")
    desk.select_option("#queue", "bus.poll")
    desk.fill("#body", '{"source": "smev.requests-1-3"}')
    administrator.shoot("day/18-schedule-form")
    desk.locator("main form button[type=submit]").last.click()
    if desk.locator("dialog.question").count():
        administrator.confirm()
    expect(desk.get_by_role("heading", level=1)).to_contain_text("Ночной опрос СМЭВ")
    administrator.shoot("day/19-schedule")
    desk.get_by_role("button", name="Запустить сейчас").click()
    if desk.locator("dialog.question").count():
        administrator.confirm()
    expect(desk.locator("#said")).to_be_visible()
    administrator.open("/audit")
    for words in ("operator", "approver", "admin"):
        expect(desk.locator("main table").first).to_contain_text(words)
    administrator.shoot("day/20-audit")

    # Without the permission for personal data the same card shows no name.
    administrator.open(f"/messages/{message_id}")
    desk.get_by_role("link", name="Тело", exact=True).click()
    expect(desk.locator("#tab-panel")).to_contain_text("•")
    expect(desk.locator("#tab-panel")).not_to_contain_text(re.compile(surname, re.IGNORECASE))
    administrator.shoot("day/21-masked")
    assert not operator.troubles + second.troubles + administrator.troubles


def body_of(show: Any, message_id: UUID) -> str:
    from core.bus import Bus
    from core.settings import load

    settings = load(show.world.config, data_dir=show.world.home).model_copy(
        update={"database_url": show.world.database_url, "rolling": True}
    )
    with Bus.open(settings, declare=False) as bus, show.database.transaction() as connection:
        return bus.journal.load(driver(connection), [message_id])[0].body.decode()


@pytest.mark.feature("SMEV-11")
@pytest.mark.parametrize(
    ("login", "refused", "open_"),
    [
        (
            "auditor",
            ["/requests", "/people", "/tokens", "/trial", "/webhooks"],
            ["/", "/messages", "/audit", "/queues"],
        ),
        (
            "approver",
            ["/audit", "/people", "/requests", "/registry/erz/deaths/list"],
            ["/", "/quarantine", "/messages"],
        ),
        ("operator", ["/audit", "/people", "/roles", "/tokens", "/schedules/new"], ["/", "/requests", "/trial"]),
        ("admin", ["/registry/erz/deaths/list"], ["/", "/people", "/audit", "/webhooks"]),
    ],
    ids=["auditor", "approver", "operator", "admin"],
)
def test_each_role_sees_its_own_pages_and_no_others(sit_down, login, refused, open_) -> None:
    desk = sit_down(login)
    for path in open_:
        assert desk.open(path) == 200, path
    for path in refused:
        assert desk.open(path) == 403, path
        assert desk.page.locator(f'nav a[href="{path}"]').count() == 0, path
    desk.shoot(f"refused/{login}")


def test_nobody_comes_in_without_a_password(show, sit_down) -> None:
    desk = sit_down()
    desk.open("/messages?queue=zags.death")
    assert "/login" in desk.page.url
    desk.page.fill("#login", "operator")
    desk.page.fill("#password", "не тот пароль")
    desk.page.get_by_role("button", name="Войти", exact=True).click()
    expect(desk.page.get_by_role("alert")).to_be_visible()
    desk.shoot("refused/password")
    desk.page.fill("#password", show.passwords["operator"])
    desk.page.get_by_role("button", name="Войти", exact=True).click()
    desk.page.wait_for_url(re.compile("queue=zags.death"))
