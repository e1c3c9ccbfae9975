"""What birth and death records have in common: the columns of an act and of the person it names."""

from __future__ import annotations

from typing import Any

from routes.erz.values import Act, Certificate, Identity


def act_columns(act: Act, person: Identity, certificate: Certificate | None) -> dict[str, Any]:
    """Values of the columns `models.ActColumns`, but for what depends on whom we found."""
    return {
        **person_columns(person),
        "office_code": act.office_code,
        "office_name": act.office_name,
        "act_number": act.act_number,
        "act_date": act.act_date,
        "version": act.version_number,
        "version_date": act.version_date,
        "status_code": act.status_code,
        "annulled": act.is_annulled,
        "certificate": str(certificate or ""),
        "certificate_date": certificate.issued if certificate else None,
    }


def person_columns(person: Identity) -> dict[str, Any]:
    """Values of the columns of a person that a document gives."""
    return {
        "surname": person.surname,
        "given": person.given,
        "patronymic": person.patronymic,
        "search_key": person.search_key,
        "birth_date": person.birth.first if person.birth else None,
        "birth_precision": person.birth.precision if person.birth else "day",
        "birth_place": person.birth_place,
        "sex": person.known_sex,
    }
