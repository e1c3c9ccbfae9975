"""ЕГР ЗАГС, рождение 4.0.1 (112-23, FACTS §12.3): the child comes into the registry; its СНИЛС is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lxml import etree

from core.message import Message
from core.route import Context, Format, Route
from routes.erz import api as erz
from routes.sfr import api as sfr
from routes.zags import registry
from routes.zags.settings import settings

NAMESPACE: Final = "urn://x-artefacts-zags-rogdzp/root/112-23/4.0.1"
SCHEMA: Final = "zags/birth/v1/rogdzp.xsd"


class BirthNotice(erz.Value):
    """ROGDZPRequest. reference: ИдСвед, which the answer repeats."""

    reference: str
    acts: list[erz.BirthAct]


notice = Route(
    "zags.birth.notice",
    title="ЕГР ЗАГС: рассылка сведений о рождении",
    formats=[Format("4.0.1", root=f"{{{NAMESPACE}}}Request", schema=SCHEMA)],
    features=["SMEV-34"],
    plain=registry.PLAIN,
)

route = Route(
    "zags.birth",
    title="ЕГР ЗАГС: запись акта о рождении",
    formats=[
        Format("4.0.1", root=f"{{{NAMESPACE}}}ROGDZPRequest", schema=SCHEMA, transform="zags/birth.v1.xsl"),
    ],
    body=BirthNotice,
    key=registry.key_of,
    features=["SMEV-34"],
    plain=registry.PLAIN,
)


@notice.handler
def split_registry(document: etree._Element, ctx: Context) -> Iterable[Message]:
    """One message a record."""
    return registry.split(document, ctx)


@route.handler
def register_births(body: BirthNotice, ctx: Context) -> Iterator[Message]:
    """Write the acts down, answer ЗАГС, ask СФР for the СНИЛС of a child that has none."""
    if not registry.is_test(ctx):
        for act in body.acts:
            born = erz.register_birth(ctx.db, act, ctx.message.id)
            ctx.note(registry.told(born.record_id, born.person_id, born.note))
            if born.needs_snils and born.person_id is not None and settings().ask_snils:
                yield sfr.ask_snils(born.person_id)
    yield from registry.answer(ctx, f"{{{NAMESPACE}}}ROGDZPResponse", body.reference, route.name)
