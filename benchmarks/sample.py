"""The 4 KB document of the benchmarks: an invented death record, and the XSLT that flattens it to eight fields."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel

NAMESPACE: Final = "urn:omsbus:bench:death:1"
STYLE: Final = Path(__file__).resolve().parent / "sample.xsl"

_FILLER: Final = "\n".join(
    f"    <d:Note>Сведения для заполнения, строка {line:02d}: ни о ком и ни о чём</d:Note>" for line in range(28)
)


class Fields(BaseModel):
    """The eight fields of the transformed document."""

    id: str
    act_no: str
    surname: str
    given: str
    birth_date: str
    death_date: str
    place: str
    cause: str


def document(number: int) -> bytes:
    """One document, some 4 KB of UTF-8."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<d:RegisterDeath xmlns:d="{NAMESPACE}">
  <d:MessageId>00000000-0000-4000-8000-{number:012d}</d:MessageId>
  <d:Act><d:Number>1702697200005{number:09d}</d:Number><d:Date>2026-11-20</d:Date></d:Act>
  <d:Person>
    <d:Surname>Вымыслова-{number}</d:Surname><d:Given>Антонина</d:Given><d:Patronymic>Павловна</d:Patronymic>
    <d:Birth>1941-03-17</d:Birth>
  </d:Person>
  <d:Death><d:Date>2026-11-18</d:Date><d:Time>04:35:00</d:Time>
    <d:Place>г. Примерск, Городская больница № 4</d:Place>
    <d:Cause code="I21.0">Острый трансмуральный инфаркт передней стенки миокарда</d:Cause></d:Death>
  <d:Notes>
{_FILLER}
  </d:Notes>
</d:RegisterDeath>
""".encode()
