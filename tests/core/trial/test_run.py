"""A trial run over the journal: what would change, grouped; and nothing is written but the audit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from core.bus import Bus
from core.errors import ConfigError
from core.message import Message
from core.route import Format, Route
from core.settings import HOUSE
from core.trial import run
from core.trial.candidate import Candidate, from_text, from_upload
from core.trial.jobs import jobs_of


def _tried(bus: Bus, death: Route, candidate: Candidate, last: int = 100) -> run.Account:
    account = run.Account(last)
    run.run(bus, death, death.formats[0], candidate, account)
    return account


@pytest.mark.feature("BUS-05", "BUS-08")
def test_the_same_stylesheet_changes_nothing(journal: Bus, death: Route, form: Format, present: str) -> None:
    account = _tried(journal, death, from_text(present, form))
    assert (account.done, account.same, account.fails_alike, account.differ) == (3, 2, 1, 0)
    assert account.clean
    assert account.differences() == []


@pytest.mark.feature("BUS-05")
def test_the_same_change_of_many_messages_is_one_group_with_examples(
    journal: Bus, death: Route, form: Format, present: str
) -> None:
    new = present.replace("<birth_place>", "<birth_place>г. ")
    account = _tried(journal, death, from_text(new, form))
    assert (account.differ, account.clean) == (2, False)
    groups = {(group.part, group.path): group for group in account.differences()}
    assert set(groups) == {
        ("результат преобразования", "death/acts/person/birth_place"),
        ("поля для обработчика", "acts/person/birth_place"),
    }
    bound = groups["поля для обработчика", "acts/person/birth_place"]
    assert (bound.kind, bound.messages, len(bound.examples)) == ("изменилось", 2, 2)
    change = bound.examples[0].change
    assert change.new == f"г. {change.old}"
    assert bound.examples[0].message_id in account.kept


@pytest.mark.feature("BUS-05")
def test_what_the_model_does_not_bind_newly_fails_with_the_field(
    journal: Bus, death: Route, form: Format, present: str
) -> None:
    account = _tried(journal, death, from_text(present.replace("</sex>", "</sex><hobby>x</hobby>"), form))
    [failure] = account.failed()
    assert (account.newly_fails, failure.verdict, failure.stage, failure.messages) == (2, "newly fails", "model", 2)
    assert "hobby" in failure.reason


@pytest.mark.feature("BUS-05", "BUS-08")
def test_a_new_schema_says_who_stops_passing_and_who_begins(journal: Bus, death: Route, form: Format) -> None:
    text = (HOUSE / "schemas" / form.schema).read_text(encoding="utf-8")
    stricter = from_upload([("fatalzp.xsd", text.replace('name="НомерЗапис"', 'name="НомерЗаписи"').encode())], form)
    account = _tried(journal, death, stricter)
    assert (account.newly_fails, account.newly_passes) == (2, 0)
    [first, *_] = account.failed()
    assert first.stage == "schema"
    namespace, name = form.root[1:].split("}")
    lax = (f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{namespace}">'
           f'<xs:element name="{name}"/></xs:schema>')  # fmt: skip
    account = _tried(journal, death, from_text(lax, form))
    assert (account.same, account.newly_fails) == (2, 0)
    assert account.newly_passes + account.fails_otherwise == 1, "the record with an impossible date"


@pytest.mark.feature("BUS-05")
def test_nothing_is_written_but_one_row_of_the_audit(
    journal: Bus, death: Route, form: Format, present: str, counted: Callable[[], dict[str, int]], look: Any
) -> None:
    before = counted()
    candidate = from_text(present.replace("<birth_place>", "<birth_place>г. "), form)
    run.note(journal, death.name, form, candidate, 100, actor="ivanova")
    _tried(journal, death, candidate)
    after = counted()
    assert {table: after[table] - before[table] for table in after if after[table] != before[table]} == {"audit": 1}
    [(actor, action, object_id, detail)] = look.rows("SELECT actor, action, object_id, detail FROM bus.audit")
    assert (actor, action, object_id) == ("ivanova", "trial.run", death.name)
    assert detail["sha256"] == candidate.digest


@pytest.mark.feature("BUS-05")
def test_only_the_last_ones_of_that_kind_are_tried(journal: Bus, death: Route, form: Format, present: str) -> None:
    assert _tried(journal, death, from_text(present, form), last=2).done == 2
    journal.engine.put([Message(kind=form.root, body=b"<other/>", version="9.9") for _ in range(3)])
    assert _tried(journal, death, from_text(present, form)).done >= 3


@pytest.mark.feature("BUS-05")
def test_a_stylesheet_that_hangs_ends_the_run_after_a_few(
    journal: Bus, death: Route, form: Format, style: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    samples: Callable[[str], bytes],
) -> None:  # fmt: skip
    from core.trial import comparing, sandbox

    monkeypatch.setattr(comparing, "Sandbox", lambda candidate: sandbox.Sandbox(candidate, document_most_s=0.3))
    journal.engine.put([Message(kind=form.root, body=samples("valid/record-plain.xml")) for _ in range(6)])
    loops = '<xsl:for-each select="//@*|//node()">' * 5 + "<a/>" + "</xsl:for-each>" * 5
    candidate = from_text(style(f'<xsl:template match="/"><a>{loops}</a></xsl:template>'), form)
    account = _tried(journal, death, candidate)
    assert account.done == run.BROKEN_MOST
    assert "прервать" in account.stopped_because
    assert not account.clean


def test_kinds_and_versions_that_are_not_there_are_named(journal: Bus) -> None:
    assert run.find(journal, "zags.death")[1].version == "4.0.1"
    for kind, version, said in (
        ("нет", "", "Есть: zags.death"),
        ("bus.poll", "", "Есть"),
        ("zags.death", "9", "4.0.1"),
    ):
        with pytest.raises(ConfigError, match=said):
            run.find(journal, kind, version)


@pytest.mark.feature("BUS-05")
def test_a_second_click_leads_to_the_run_under_way(
    journal: Bus, death: Route, form: Format, present: str, monkeypatch: pytest.MonkeyPatch, eventually: Any, look: Any
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(run, "run", lambda *_args: go_on.wait(10))
    jobs = jobs_of(journal)
    assert jobs_of(journal) is jobs
    candidate = from_text(present, form)
    first, new = jobs.start(death, form, candidate, 10, actor="ivanova")
    again, new_again = jobs.start(death, form, candidate, 10, actor="petrov")
    assert (first.id, new, new_again) == (again.id, True, False)
    assert look.one("SELECT count(*) FROM bus.audit") == 1
    go_on.set()
    eventually(lambda: first.over)
    third, new = jobs.start(death, form, candidate, 10, actor="petrov")
    assert new
    assert [job.id for job in jobs.all()] == [third.id, first.id]
    eventually(lambda: third.over)


@pytest.mark.feature("BUS-05")
def test_a_run_can_be_stopped_and_its_results_are_forgotten_in_time(
    journal: Bus, death: Route, form: Format, present: str, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    jobs = jobs_of(journal)
    real = run._count

    def slow(*args: Any) -> None:
        time.sleep(0.05)
        real(*args)
        jobs.stop(job.id)

    monkeypatch.setattr(run, "_count", slow)
    job, _ = jobs.start(death, form, from_text(present, form), 100, actor="ivanova")
    eventually(lambda: job.over)
    assert (job.account.done, job.account.stopped_because, job.problem) == (1, "остановлен", "")
    job.began_at -= 2 * (jobs_module().KEPT)
    with pytest.raises(ConfigError, match="хранятся час"):
        jobs.get(job.id)


def jobs_module() -> Any:
    from core.trial import jobs

    return jobs


def test_one_that_does_not_compile_is_the_jobs_problem(
    journal: Bus, death: Route, form: Format, style: Callable[..., str], eventually: Any
) -> None:
    broken = from_text(style('<xsl:template match="((("/>'), form)
    job, _ = jobs_of(journal).start(death, form, broken, 5, actor="ivanova")
    eventually(lambda: job.over)
    assert "не компилируется" in job.problem
    for last in (0, 1001):
        with pytest.raises(ConfigError, match="от 1 до 1000"):
            jobs_of(journal).start(death, form, broken, last, actor="ivanova")
