"""What libxml2 says about a document that does not fit its XSD, in Russian. What it says rarely stays as it is."""

from __future__ import annotations

import re
from typing import Final

_NAMESPACE: Final = re.compile(r"\{[^{}]*\}")
_FACET: Final = r"Element '(.*?)'(?:, attribute '(.*?)')?: \[facet '\w+'\] "
_SAYINGS: Final = [
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (
            r"Element '(.*?)': '(.*)' is not a valid value of the atomic type 'xs:date'\.",
            r"\1: «\2» — не дата ГГГГ-ММ-ДД",
        ),
        (
            r"Element '(.*?)': '(.*)' is not a valid value of the atomic type 'xs:dateTime'\.",
            r"\1: «\2» — не дата со временем ГГГГ-ММ-ДДTЧЧ:ММ:СС",
        ),
        (
            r"Element '(.*?)', attribute '(.*?)': '(.*)' is not a valid value of the (?:atomic|local atomic) type.*",
            r"\1, атрибут \2: недопустимое значение «\3»",
        ),
        (r"Element '(.*?)': '(.*)' is not a valid value of the .*type.*", r"\1: недопустимое значение «\2»"),
        (
            r"Element '(.*?)': This element is not expected\. Expected is (?:one of )?\( (.*?) \)\.",
            r"\1: этого элемента здесь быть не должно; ожидается: \2",
        ),
        (r"Element '(.*?)': This element is not expected\.", r"\1: этого элемента здесь быть не должно"),
        (
            r"Element '(.*?)': Missing child element\(s\)\. Expected is (?:one of )?\( (.*?) \)\.",
            r"\1: не хватает вложенного элемента: \2",
        ),
        (r"Element '(.*?)': The attribute '(.*?)' is required but missing\.", r"\1: не хватает атрибута \2"),
        (r"Element '(.*?)', attribute '(.*?)': The attribute '.*' is not allowed\.", r"\1: атрибут \2 не предусмотрен"),
        (r"Element '(.*?)': Character content .*", r"\1: текста здесь быть не должно"),
        (r"Element '(.*?)': Element content is not allowed.*", r"\1: вложенных элементов здесь быть не должно"),
        (r"Element '(.*?)': No matching global declaration.*", r"\1: такого корневого элемента в схеме нет"),
        (rf"{_FACET}The value '(.*)' is not accepted.*", r"\1 \2: значение «\3» не по образцу"),
        (rf"{_FACET}The value '(.*)' is not an element of the set.*", r"\1 \2: значения «\3» нет в списке допустимых"),
        (rf"{_FACET}The value .*has a length of '(\d+)'.*'(\d+)'\.", r"\1 \2: длина \3, а допустимая — \4"),
        (rf"{_FACET}The value '(.*?)' .*", r"\1 \2: значение «\3» вне допустимого"),
    )
]


def in_russian(said: str) -> str:
    """One message of libxml2, without namespaces."""
    said = _NAMESPACE.sub("", said.strip())
    for pattern, words in _SAYINGS:
        if found := pattern.fullmatch(said):
            return re.sub(r" +(?=:)", "", found.expand(words))
    return said
