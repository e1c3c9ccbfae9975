"""starlette-admin speaks Russian: what its own catalogue lacks or says otherwise than the rest of the console."""

from __future__ import annotations

import io
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.support import Translations
from starlette_admin.i18n import translations

from core.masking import MASK

__all__ = ["MASK", "WORDS", "complete"]

WORDS: Final = {
    "Equal": "равно",
    "Equals": "равно",
    "Not equal": "не равно",
    "Contains": "содержит",
    "Starts with": "начинается с",
    "Is null": "пусто",
    "Is not null": "заполнено",
    "Is true": "да",
    "Is false": "нет",
    "Is on": "равна",
    "Between": "с … по …",
    "Greater than or equal": "не меньше",
    "Less than or equal": "не больше",
    " AND ": " и ",
    " OR ": " или ",
    "View": "Открыть",
    "Edit": "Изменить",
    "Yes, delete all": "Удалить",
    "Yes, delete": "Удалить",
    "Are you sure you want to delete selected items?": "Удалить записи: {count}? Вернуть их нельзя.",
    "Are you sure you want to delete this item?": "Удалить эту запись? Вернуть её нельзя.",
    'The item "%(repr)s" was added successfully.': "%(repr)s: запись внесена",
    'The item "%(repr)s" was changed successfully.': "%(repr)s: запись изменена",
    'The item "%(repr)s" was successfully deleted.': "%(repr)s: запись удалена",
    "This field is required.": "Заполните это поле",
    "Forbidden": "Нет права на это действие",
    "Import": "Загрузка из файла",
    "Preview": "Проверка",
    "Loading preview...": "Проверяем файл…",
    "Importing...": "Загружаем…",
    "Import {count} row(s)": "Загрузить строки без ошибок",
    "Preview (first {count} row(s))": "Первые строки: {count}",
    "Update existing records by primary key": "Заменять записи с тем же номером",
    "An unexpected error occurred while processing this row.": "Строка не загружена: такого значения здесь не бывает",
    "An error occurred while importing the file. Please check the file format and try again.": (
        "Файл не прочитан: нужна таблица csv (UTF-8 или Windows-1251) или xlsx с названиями столбцов в первой строке"
    ),
}
"""Message of starlette-admin → what people read."""


def complete() -> None:
    """Put WORDS over the Russian catalogue of starlette-admin. Again changes nothing."""
    catalog = Catalog(locale="ru")
    for message, word in WORDS.items():
        catalog.add(message, word)
    packed = io.BytesIO()
    write_mo(packed, catalog)
    packed.seek(0)
    known = translations["ru"]
    assert isinstance(known, Translations)
    known.merge(Translations(fp=packed, domain="admin"))
