"""How fast the СМЭВ transform is, against its peer and against what the canonical form alone costs.

One run, one message, three readings taken in turn (so that a busy machine slows all three alike):
ours, the PyPI package `smev-transform`, and lxml's exclusive C14N. Goals: at least 2 times the throughput of
the package (both start from octets), at most 5 times the time of the C14N (both start from a tree).
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from lxml import etree

from core import xml
from core.signatures.smev_transform import canonical, transform

NAME: Final = "transform"
MIN_SPEEDUP: Final = 2.0
MAX_COST: Final = 5.0
GOAL: Final = (
    "преобразование СМЭВ: не менее 2× пропускной способности пакета smev-transform и не более 5× времени "
    "exclusive C14N из lxml, сообщение 12–20 КБ"
)
_BATCH: Final = 20


def message(pretty: bool = False) -> bytes:
    """An invented death notification of four records inside SenderProvidedRequestData, 12 to 20 KB of UTF-8."""
    types = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.3"
    basic = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.3"
    directive = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/directive/1.3"
    zags, kind = "urn://x-artefacts-zags-fatalzp/4.0.1", "urn://x-artefacts-zags-fatalzp/types/4.0.1"
    records = "".join(
        f'<dir:Record Id="RECORD_{number}"><dir:RecordId>{number}</dir:RecordId><dir:RecordContent>'
        f'<tns:FATALZPRequest ИдСвед="00000000-0000-4000-8000-00000000000{number}" ДатаСвед="2026-02-1{number}">'
        f"{_death(number)}</tns:FATALZPRequest></dir:RecordContent></dir:Record>"
        for number in range(1, 5)
    )
    text = (
        f'<typ:SenderProvidedRequestData xmlns:typ="{types}" xmlns:bas="{basic}" Id="SIGNED_BY_CALLER">'
        "<typ:MessageID>db0486d0-3c08-11e5-95e2-d4c9eff07b77</typ:MessageID>"
        f'<bas:MessagePrimaryContent><tns:Request xmlns:tns="{zags}" xmlns:fnst="{kind}">'
        f'<dir:Registry xmlns:dir="{directive}">{records}</dir:Registry></tns:Request></bas:MessagePrimaryContent>'
        "<typ:TestMessage/></typ:SenderProvidedRequestData>"
    )
    if not pretty:
        return text.encode()
    root = xml.parse(text.encode())
    etree.indent(root, "  ")
    octets: bytes = etree.tostring(root, encoding="UTF-8")
    return octets


def _death(number: int) -> str:
    name = "<fnst:Фамилия>Примеров</fnst:Фамилия><fnst:Имя>Образец</fnst:Имя><fnst:Отчество>Вымыслович</fnst:Отчество>"
    place = (
        'ПризнМесто="1" МестоТекст="Демонстрационная область, город Примерск" КодСтраны="643" '
        'НаимСтраны="РОССИЯ" Регион="00" НаимСубъект="Демонстрационная область" Город="Примерск"'
    )
    office = '<tns:ОрганЗАГС НаимЗАГС="Отдел ЗАГС города Примерска (вымышленный)" КодЗАГС="R0000001"/>'
    status = '<tns:СтатусЗаписи ДатаНачСтатус="2026-02-10" КодСтатус="01" НаимСтатус="Запись акта действительна"/>'
    paper = (
        "<tns:СведСвидет><fnst:СерияСвидет>I-АА</fnst:СерияСвидет><fnst:НомерСвидет>000000</fnst:НомерСвидет>"
        "<fnst:ДатаВыдСвидет>2026-02-10</fnst:ДатаВыдСвидет></tns:СведСвидет>"
    )
    person = (
        '<tns:СведУмер Пол="1"><tns:Гражданство ОКСМ="643" НаимСтраны="РОССИЯ"/>'
        f"<tns:ФИОУмер>{name}</tns:ФИОУмер><tns:ДатаРождКаленд>1950-01-0{number}</tns:ДатаРождКаленд>"
        f'<tns:МестоРожден {place}/><tns:МЖПосл><fnst:МЖПослРФ АдрРФТекст="Примерск, улица Вымышленная, 1" '
        'ПрТипАдрРФ="2" ОКТМО="00000000"><fnst:АдрФИАС ИдНом="00000000-0000-4000-8000-000000000000" Индекс="000000">'
        '<fnst:Регион>00</fnst:Регион><fnst:МуниципРайон ВидКод="2" Наим="Примерск"/>'
        '<fnst:ЭлУлДорСети Тип="ул" Наим="Вымышленная"/><fnst:Здание Тип="д" Номер="1"/></fnst:АдрФИАС>'
        '</fnst:МЖПослРФ></tns:МЖПосл><tns:УдЛичнФЛ КодВидДок="21" НаимДок="Паспорт гражданина Российской Федерации" '
        'СерНомДок="00 00 000000" ДатаДок="2000-01-01" ВыдДок="Отделом внутренних дел города Примерска"/>'
        f"<tns:ДатаСмертКаленд>2026-02-0{number}</tns:ДатаСмертКаленд><tns:ВремяСмерт>12:00:00</tns:ВремяСмерт>"
        f"<tns:МестоСмерт {place}/></tns:СведУмер>"
    )
    correction = (
        '<tns:СведИспрАГС КодВидСвед="01" НаимВидСвед="Исправление" ДатаВнесИспр="2026-02-11" '
        'СодержИспр="Исправлена опечатка в отчестве"><fnst:СведДокИспрАГС><fnst:ДокОсн КодДок="01" '
        f'НаимДок="Заявление" СерНомДок="б/н"><fnst:ФИОФЛ>{name}</fnst:ФИОФЛ></fnst:ДокОсн></fnst:СведДокИспрАГС>'
        "</tns:СведИспрАГС>"
    )
    return (
        f'<tns:СведРегСмерт НомерЗапис="00000000000000000000{number}" ДатаЗапис="2026-02-10" НомерВерс="1" '
        f'ДатаВерс="2026-02-10">{office}{status}{paper}<tns:ПрдСведРег>{person}</tns:ПрдСведРег>{correction}'
        "</tns:СведРегСмерт>"
    )


def run(seconds: float = 5.0) -> dict[str, Any]:
    """Measure for about `seconds` and say whether the goals are reached.

    Returns name, goal, ratios (medians of interleaved batches), verdict (`reached` or `missed`) and conditions.
    """
    from smev_transform import Transform

    octets = message()
    text, root = octets.decode(), xml.parse(octets)
    pretty = xml.parse(message(pretty=True))
    peer = Transform()
    subjects: dict[str, Callable[[], object]] = {
        "ours from octets": lambda: transform(octets),
        "smev-transform from octets": lambda: peer.process(text),
        "ours from tree": lambda: transform(root),
        "lxml exc-c14n from tree": lambda: canonical(root),
        "ours from indented tree": lambda: transform(pretty),
        "lxml exc-c14n from indented tree": lambda: canonical(pretty),
    }
    times: dict[str, list[float]] = {name: [] for name in subjects}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times["lxml exc-c14n from indented tree"]:
        for name, work in subjects.items():
            start = time.perf_counter()
            for _ in range(_BATCH):
                work()
            times[name].append((time.perf_counter() - start) / _BATCH)
    middle = {name: statistics.median(values) for name, values in times.items()}
    speedup = middle["smev-transform from octets"] / middle["ours from octets"]
    cost = middle["ours from tree"] / middle["lxml exc-c14n from tree"]
    cost_indented = middle["ours from indented tree"] / middle["lxml exc-c14n from indented tree"]
    reached = speedup >= MIN_SPEEDUP and max(cost, cost_indented) <= MAX_COST
    return {
        "name": NAME,
        "goal": GOAL,
        "ratios": {
            "throughput against smev-transform (≥ 2)": round(speedup, 2),
            "time against lxml exc-c14n (≤ 5)": round(cost, 2),
            "time against lxml exc-c14n, indented (≤ 5)": round(cost_indented, 2),
        },
        "verdict": "reached" if reached else "missed",
        "conditions": {
            "message_bytes": len(octets),
            "elements": sum(1 for _ in root.iter()),
            "microseconds": {name: round(value * 1e6, 1) for name, value in middle.items()},
            "python": platform.python_version(),
            "libxml2": ".".join(map(str, etree.LIBXML_VERSION)),
            "seconds": seconds,
            "remark": "smev-transform numbers siblings wrongly: its octets differ, only its time is compared",
        },
    }
