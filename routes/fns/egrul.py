"""ФНС, рассылка новых сведений ЕГРЮЛ 4.0.0 (311-31): organizations are written down; nobody waits for an answer.

The structure is not published (FACTS §12.1): root name and schema are ours, see README.md.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from pydantic import BeforeValidator
from sqlalchemy import text

from connectors.smev3 import messages
from core.keys import document_key
from core.route import Context, Format, Route
from routes.erz.api import Value

NAMESPACE: Final = "urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"


class Organization(Value):
    """СвЮЛ, as far as the fund needs it."""

    ogrn: str
    ogrn_date: date
    extract_date: date
    inn: str = ""
    kpp: str = ""
    name: str
    short_name: str = ""
    status_code: str = ""
    status_name: str = ""
    ended: date | None = None
    address: Annotated[str, BeforeValidator(lambda value: str(value).strip(" ,"))] = ""


class News(Value):
    """NSVUIDATRequest."""

    organizations: list[Organization]


route = Route(
    "fns.egrul",
    title="ФНС: новые сведения ЕГРЮЛ",
    formats=[
        Format(
            "4.0.0",
            root=f"{{{NAMESPACE}}}NSVUIDATRequest",
            schema="fns/egrul/v1/egrul-news.xsd",
            transform="fns/egrul.v1.xsl",
        ),
    ],
    body=News,
    key=document_key("//*[local-name() = 'СвЮЛ']/@ОГРН"),
    features=["SMEV-42"],
    plain=[
        *("ИдДок", "ДатаВып", "ОГРН", "ДатаОГРН", "КПП", "КодОПФ", "ПолнНаимОПФ", "НаимЮЛПолн", "НаимЮЛСокр"),
        *("ГРН", "ДатаЗаписи", "КодРегион"),
    ],
)


@route.handler
def take_news(body: News, ctx: Context) -> None:
    """One statement for all: the newest extract of each organization wins, whatever the order of arrival."""
    if ctx.message.headers.get(messages.TEST) == "true":
        ctx.note("тестовое сообщение: реестр не изменён")
        return
    newest: dict[str, Organization] = {}
    for one in body.organizations:
        if one.ogrn not in newest or one.extract_date >= newest[one.ogrn].extract_date:
            newest[one.ogrn] = one
    rows = [one.model_dump() for one in newest.values()]
    values = {name: [row[name] for row in rows] for name in Organization.model_fields}
    changed = ctx.db.connection().execute(_UPSERT, {**values, "source": ctx.message.id}).rowcount
    ctx.note(f"организаций в рассылке: {len(rows)}, записано: {changed}")


_UPSERT = text("""
INSERT INTO fns.organization AS o (ogrn, ogrn_date, extract_date, inn, kpp, name, short_name, status_code, status_name,
                                   ended, address, source_message_id)
SELECT given.*, :source FROM unnest(
    CAST(:ogrn AS text[]), CAST(:ogrn_date AS date[]), CAST(:extract_date AS date[]), CAST(:inn AS text[]),
    CAST(:kpp AS text[]), CAST(:name AS text[]), CAST(:short_name AS text[]), CAST(:status_code AS text[]),
    CAST(:status_name AS text[]), CAST(:ended AS date[]), CAST(:address AS text[])) AS given
ORDER BY 1
ON CONFLICT (ogrn) DO UPDATE SET
    ogrn_date = EXCLUDED.ogrn_date, extract_date = EXCLUDED.extract_date, inn = EXCLUDED.inn, kpp = EXCLUDED.kpp,
    name = EXCLUDED.name, short_name = EXCLUDED.short_name, status_code = EXCLUDED.status_code,
    status_name = EXCLUDED.status_name, ended = EXCLUDED.ended, address = EXCLUDED.address,
    source_message_id = EXCLUDED.source_message_id, changed_at = now()
WHERE EXCLUDED.extract_date >= o.extract_date
""")
