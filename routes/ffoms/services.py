"""Сведения об оказанных медицинских услугах 1.0.0 (FACTS §12.8): a citizen asks on ЕПГУ, the fund answers.

Only who names their ЕНП, full name and birth date rightly learns anything. The schema knows no empty list: nothing
found, and nobody identified, is one and the same refusal NO_DATA, so that nobody can probe the registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from lxml import etree

from connectors.smev3 import messages
from core import stages
from core.keys import document_key
from core.message import Message
from core.route import Context, Format, Route
from routes.erz import api as erz
from routes.pump import api as pump

VERSION: Final = "1.0.0"
NAMESPACE: Final = "http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"
SCHEMA: Final = "ffoms/services/v1/rendered-services.xsd"
NOTHING: Final = "Сведения об оказанных медицинских услугах не найдены. Проверьте ЕНП, ФИО, дату рождения и период"
WRONG_PERIOD: Final = "Дата начала периода позже даты его окончания. Исправьте период и отправьте запрос снова"

_ANSWER: Final = Format(VERSION, root=f"{{{NAMESPACE}}}OutputData", schema=SCHEMA)


class ServicesQuery(erz.Name):
    """InsuredRenderingListRequest."""

    region: str
    birth: date
    enp: erz.Personal
    since: date
    until: date


route = Route(
    "ffoms.services",
    title="Сведения об оказанных медицинских услугах",
    formats=[
        Format(VERSION, root=f"{{{NAMESPACE}}}InputData", schema=SCHEMA, transform="ffoms/services.v1.xsl"),
    ],
    body=ServicesQuery,
    key=document_key("//*[local-name() = 'UnitedPolicyNumber']"),
    features=["SMEV-21"],
    plain=["RegionCode", "RegionName"],
)


@route.handler
def answer_citizen(body: ServicesQuery, ctx: Context) -> Iterator[Message]:
    """The list, or a refusal."""
    if body.since > body.until:
        ctx.note("отказ: период задан наоборот")
        yield messages.refusal(ctx.message, "NO_DATA", WRONG_PERIOD, kind="ffoms.services.refusal")
        return
    person_id = erz.identify(
        ctx.db,
        enp=body.enp,
        surname=body.surname,
        given=body.given,
        patronymic=body.patronymic,
        birth=body.birth,
    )
    services = pump.rendered_services(ctx.db, person_id, body.since, body.until) if person_id is not None else []
    if not services:
        ctx.note("отказ: " + ("заявитель не опознан" if person_id is None else f"у человека {person_id} услуг нет"))
        yield messages.refusal(ctx.message, "NO_DATA", NOTHING, kind="ffoms.services.refusal")
        return
    ctx.note(f"человек {person_id}: услуг {len(services)}")
    yield messages.answer(ctx.message, _answer(services), kind="ffoms.services.answer", version=VERSION)


def _answer(services: Sequence[pump.Service]) -> bytes:
    root = etree.Element(_ANSWER.root, nsmap={"ns": NAMESPACE})
    items = etree.SubElement(root, f"{{{NAMESPACE}}}InsuredRenderingList")
    for one in services:
        item = etree.SubElement(items, f"{{{NAMESPACE}}}InsuredRenderingInfo")
        for name, value in (
            ("DateRenderingFrom", one.started.isoformat()),
            ("DateRenderingTo", one.ended.isoformat() if one.ended else ""),
            ("CareRegimen", one.care_regimen),
            ("CareType", one.care_type),
            ("Name", one.name),
            ("MedServicesSum", f"{one.cost:.2f}"),
            ("ClinicName", one.clinic_name),
            ("RegionName", one.region_name),
        ):
            if value or name != "DateRenderingTo":
                etree.SubElement(item, f"{{{NAMESPACE}}}{name}").text = value
    stages.validate(_ANSWER, root)
    return etree.tostring(root, encoding="UTF-8")
