"""ЕГР ЗАГС, смерть 4.0.1 (112-25, FACTS §12.4): the registry learns of a death, or that its act was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lxml import etree

from core.message import Message
from core.route import Context, Format, Route
from routes.erz import api as erz
from routes.zags import registry

NAMESPACE: Final = "urn://x-artefacts-zags-fatalzp/root/112-25/4.0.1"
SCHEMA: Final = "zags/death/v1/fatalzp.xsd"


class DeathNotice(erz.Value):
    """FATALZPRequest. reference: ИдСвед, which the answer repeats."""

    reference: str
    acts: list[erz.DeathAct]


notice = Route(
    "zags.death.notice",
    title="ЕГР ЗАГС: рассылка сведений о смерти",
    formats=[Format("4.0.1", root=f"{{{NAMESPACE}}}Request", schema=SCHEMA)],
    features=["SMEV-35"],
    plain=registry.PLAIN,
)

route = Route(
    "zags.death",
    title="ЕГР ЗАГС: запись акта о смерти",
    formats=[
        Format("4.0.1", root=f"{{{NAMESPACE}}}FATALZPRequest", schema=SCHEMA, transform="zags/death.v1.xsl"),
    ],
    body=DeathNotice,
    key=registry.key_of,
    features=["SMEV-35"],
    plain=registry.PLAIN,
)


@notice.handler
def split_registry(document: etree._Element, ctx: Context) -> Iterable[Message]:
    """One message a record."""
    return registry.split(document, ctx)


@route.handler
def register_deaths(body: DeathNotice, ctx: Context) -> Iterator[Message]:
    """Write the acts down, answer ЗАГС."""
    if not registry.is_test(ctx):
        for act in body.acts:
            done = erz.register_death(ctx.db, act, ctx.message.id)
            ctx.note(registry.told(done.record_id, done.person_id, done.note))
    yield from registry.answer(ctx, f"{{{NAMESPACE}}}FATALZPResponse", body.reference, route.name)
