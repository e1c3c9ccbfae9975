"""СНИЛС by additional data 1.0.1 (FACTS §12.9): our question out, the answer or a refusal back, the person updated.

    sfr.snils.ask   takes the command {"person_id": n}, sends the question
    sfr.snils       takes whatever comes back: answer, rejection, status, failure, timeout

A question is found again by the message that asked it (`Message.cause`). After a timeout a late answer still counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from sqlalchemy import text

from connectors.smev3 import messages
from core.errors import Permanent
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Context, Format, Route
from routes.erz import api as erz
from routes.sfr import api
from routes.sfr.question import NAMESPACE, SCHEMA, VERSION, question
from routes.sfr.settings import settings


class SnilsCommand(erz.Value):
    """Ask for this person."""

    person_id: int


class SnilsAnswer(erz.Name):
    """SnilsByAdditionalDataResponse."""

    birth: date
    snils: erz.Personal


ask = Route(
    api.ASK, title="СФР: запросить СНИЛС человека", body=SnilsCommand, features=["SMEV-53"], plain=["person_id"]
)

route = Route(
    "sfr.snils",
    title="СФР: ответы о СНИЛС",
    formats=[
        Format(
            VERSION, root=f"{{{NAMESPACE}}}SnilsByAdditionalDataResponse", schema=SCHEMA, transform="sfr/snils.v1.xsl"
        ),
    ],
    body=SnilsAnswer,
    features=["SMEV-53"],
)


@ask.handler
def ask_for_snils(body: SnilsCommand, ctx: Context) -> Iterator[Message]:
    """Send the question, unless the СНИЛС is known or a question is on its way."""
    person = erz.person_card(ctx.db, body.person_id)
    if person is None:
        raise Permanent(f"Человека {body.person_id} нет в реестре: отклоните команду или исправьте person_id")
    if person.snils is not None or person.status != "alive":
        ctx.note(f"человек {person.id}: СНИЛС уже известен или человек не числится живым, запрос не нужен")
        return
    message = messages.request(
        question(person),
        kind="sfr.snils.request",
        version=VERSION,
        sink=settings().sink,
        key=api.person_key(person.id),
        replies_to=route.name,
        reply_within_s=settings().reply_within_s,
    )
    asked = ctx.db.connection().execute(_ASK, {"person": person.id, "message": message.id}).one_or_none()
    if asked is None:
        ctx.note(f"человек {person.id}: запрос уже отправлен, ответа ещё нет")
        return
    ctx.note(f"человек {person.id}: запрос {asked.id}")
    yield message


@route.handler
def take_snils(body: SnilsAnswer, ctx: Context) -> None:
    """Write the СНИЛС when it is surely this person's; otherwise keep it as doubtful for an operator."""
    asked = _question(ctx)
    if asked.state in ("answered", "doubtful"):
        ctx.note(f"запрос {asked.id} уже закрыт ответом, повтор не изменил реестра")
        return
    doubt = _doubt(body, asked.person_id, ctx)
    _settle(ctx, asked, "doubtful" if doubt else "answered", doubt, body.snils)
    ctx.note(f"человек {asked.person_id}: {doubt or 'СНИЛС записан'}")


@route.on(Outcome.REJECTION)
def take_rejection(reply: Reply, ctx: Context) -> None:
    """СФР refused: NO_DATA and others."""
    _close(ctx, "rejected", reply)


@route.on(Outcome.FAILURE)
def take_failure(reply: Reply, ctx: Context) -> None:
    """СМЭВ refused the question (asynchronous check)."""
    _close(ctx, "failed", reply)


@route.on(Outcome.TIMEOUT)
def take_timeout(reply: Reply, ctx: Context) -> None:
    """Nobody answered in time."""
    _close(ctx, "timeout", reply)


@route.on(Outcome.STATUS)
def take_status(reply: Reply, ctx: Context) -> None:
    """News on the way: the question stays open."""
    asked = _question(ctx)
    if asked.state == "asked":
        _settle(ctx, asked, "asked", str(reply), None)
    ctx.note(f"запрос {asked.id}: {reply}")


def _question(ctx: Context) -> Any:
    found = ctx.db.connection().execute(_FIND, {"message": ctx.message.cause}).one_or_none()
    if found is None:
        raise Permanent("Ответ СФР не относится ни к одному нашему запросу о СНИЛС: проверьте причину сообщения")
    return found


def _close(ctx: Context, state: str, reply: Reply) -> None:
    asked = _question(ctx)
    if asked.state == "asked" or (asked.state == "timeout" and state != "timeout"):
        _settle(ctx, asked, state, str(reply), None)
    ctx.note(f"запрос {asked.id}: {reply}")


def _settle(ctx: Context, asked: Any, state: str, note: str, snils: str | None) -> None:
    values = {"id": asked.id, "state": state, "note": note, "snils": snils}
    ctx.db.connection().execute(_SETTLE, values)


def _doubt(body: SnilsAnswer, person_id: int, ctx: Context) -> str:
    """Why the СНИЛС must not be written; "" when it was written."""
    if not erz.snils_is_valid(body.snils):
        return "контрольное число СНИЛС неверно, сведения не записаны"
    person = erz.person_card(ctx.db, person_id)
    if person is None or (person.search_key, person.birth_date) != (body.search_key, body.birth):
        return "ответ называет другого человека, сведения не записаны"
    return _REFUSALS.get(erz.set_snils(ctx.db, person_id, body.snils, ctx.message.id), "")


_REFUSALS: Final = {
    erz.SnilsSet.OTHER: "у человека уже записан другой СНИЛС, выберите верный",
    erz.SnilsSet.TAKEN: "этот СНИЛС уже записан другому человеку, проверьте обоих",
    erz.SnilsSet.NOBODY: "человека больше нет в реестре",
}

_ASK = text("""
INSERT INTO sfr.snils_request (person_id, message_id) VALUES (:person, :message)
ON CONFLICT (person_id) WHERE state = 'asked' DO NOTHING RETURNING id
""")

_FIND = text("SELECT id, person_id, state FROM sfr.snils_request WHERE message_id = CAST(:message AS uuid) FOR UPDATE")

_SETTLE = text("""
UPDATE sfr.snils_request SET state = :state, note = :note, snils = COALESCE(:snils, snils), changed_at = now()
WHERE id = :id
""")
