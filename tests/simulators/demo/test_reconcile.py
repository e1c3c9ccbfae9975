"""The reconciliation is believed only because it catches what was spoilt on purpose."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.feature("SMEV-13")

ONE = "(SELECT min(m.seq) FROM bus.message m WHERE m.source = 'smev' AND m.headers->>'smev.sender' = 'EPGU01')"
FROM_FUND = "(SELECT min(seq) FROM sim_smev.message WHERE sender = 'TFOMS01' AND content = '{}')"
A_RECORD = "(SELECT min(seq) FROM bus.entry WHERE queue = 'zags.death')"
AN_ANSWER = "(SELECT max(seq) FROM bus.entry WHERE queue = 'sfr.snils')"
TO_FUND = "(SELECT min(e.seq) FROM sim_smev.entry e WHERE e.recipient = 'TFOMS01')"
AGAIN = (
    "INSERT INTO sim_smev.message (message_id, what, message_type, version, sender, recipient, kind, namespace, root, "
    "content, sent_at, status, data, signature, original_message_id) SELECT '00000000-0000-1000-8000-000000000000', "
    "what, message_type, version, sender, recipient, kind, namespace, root, content, sent_at, status, data, signature, "
    "original_message_id FROM sim_smev.message WHERE seq = {}"
)

DEFECTS = {
    "a message is missing from the journal": (
        [f"DELETE FROM bus.entry WHERE seq = {ONE}", f"DELETE FROM bus.message WHERE seq = {ONE}"],
        "принято в журнал",
    ),
    "a message stands in the journal that nobody sent": (
        [f"DELETE FROM sim_smev.message WHERE message_id = (SELECT external_id FROM bus.message WHERE seq = {ONE})"],
        "никто не слал",
    ),
    "a message was taken and not handled": (
        [f"UPDATE bus.entry SET state = 'ready' WHERE seq = {ONE}"],
        "принято = обработано",
    ),
    "a message was never acknowledged": (
        [f"UPDATE sim_smev.entry SET accepted = NULL, closed_at = NULL WHERE seq = {TO_FUND}"],
        "не подтверждено СМЭВ",
    ),
    "a record of a notice is stuck": (
        [f"UPDATE bus.entry SET state = 'retry' WHERE seq = {A_RECORD}"],
        "записей из рассылок",
    ),
    "a forgery was handled": (
        ["UPDATE bus.entry SET state = 'handled', error = '' WHERE error = 'SignatureRejected'"],
        "подделано",
    ),
    "a record that violates its schema was handled": (
        ["UPDATE bus.entry SET state = 'handled' WHERE queue = 'zags.death' AND error = 'SchemaViolation'"],
        "не по схеме",
    ),
    "an answer of ours is confirmed and did not arrive": (
        [f"DELETE FROM sim_smev.message WHERE seq = {FROM_FUND.format('rejected')}"],
        "принято другой стороной",
    ),
    "an answer of ours arrived twice": ([AGAIN.format(FROM_FUND.format("rejected"))], "без двойных"),
    "an answer of ours is not confirmed": (
        ["UPDATE bus.outgoing SET confirmed_at = NULL WHERE external_id = (SELECT min(external_id) FROM bus.outgoing)"],
        "без подтверждения",
    ),
    "a citizen was never answered": (
        [
            "DELETE FROM bus.outgoing WHERE external_id = (SELECT message_id FROM sim_smev.message WHERE seq = "
            f"{FROM_FUND.format('rejected')})",
            f"DELETE FROM sim_smev.message WHERE seq = {FROM_FUND.format('rejected')}",
        ],
        "граждан",
    ),
    "a record of a notice was never answered": (
        [
            "DELETE FROM bus.outgoing WHERE external_id = (SELECT max(message_id) FROM sim_smev.message WHERE sender = "
            "'TFOMS01' AND kind = 'zags.death')",
            "DELETE FROM sim_smev.message WHERE message_id = (SELECT max(message_id) FROM sim_smev.message WHERE "
            "sender = 'TFOMS01' AND kind = 'zags.death')",
        ],
        "ЗАГС",
    ),
    "a question has no outcome": (
        ["UPDATE sfr.snils_request SET state = 'asked' WHERE id = (SELECT min(id) FROM sfr.snils_request)"],
        "получили исход",
    ),
    "an answer found no question": (
        [f"UPDATE bus.entry SET queue = 'unknown' WHERE seq = {AN_ANSWER}"],
        "чей вопрос не нашёлся",
    ),
}  # fmt: skip

EFFECTS = [
    ("записей о смерти", "erz.death_record", "act_number"),
    ("записей о рождении", "erz.birth_record", "act_number"),
    ("организаций", "fns.organization", "ogrn"),
]


def test_what_went_well_reconciles(played: Any) -> None:
    account = played.account()
    assert [check for check in account.checks if not check.ok] == []
    assert account.ok
    assert account.as_json()["ok"] is True
    assert {name: row.sent > 0 for name, row in account.kinds.items()} == dict.fromkeys(account.kinds, True)
    assert sum(row.repeats for row in account.kinds.values()) > 0
    assert sum(row.quarantined for row in account.kinds.values()) == 2, "one forgery, one broken record"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_and_named(played: Any, defect: str) -> None:
    statements, words = DEFECTS[defect]
    spoilt = played.copy()
    for statement in statements:
        assert spoilt.do(statement) >= 1, f"nothing to spoil: {statement}"
    account = spoilt.account()
    assert not account.ok
    assert account.as_json()["ok"] is False
    assert any(words in check.what for check in account.checks if not check.ok), account.checks


@pytest.mark.parametrize("doubled", [False, True], ids=["lost", "doubled"])
@pytest.mark.parametrize(("words", "table", "key"), EFFECTS)
def test_an_effect_that_is_lost_or_doubled_is_found(
    played: Any, words: str, table: str, key: str, doubled: bool
) -> None:
    spoilt = played.copy()
    if doubled:
        columns = spoilt.columns(table)
        values = ", ".join("'9000000000000'" if one == key else one for one in columns)
        done = spoilt.do(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} LIMIT 1")
    else:
        done = spoilt.do(f"DELETE FROM {table} WHERE {key} = (SELECT min({key}) FROM {table})")
    assert done == 1
    account = spoilt.account()
    assert not account.ok
    assert any(words in check.what for check in account.checks if not check.ok)


def test_an_account_without_equations_is_not_believed(played: Any) -> None:
    account = played.account()
    account.checks = []
    assert not account.ok
