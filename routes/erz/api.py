"""What other subsystems may use of the registry. They never touch its tables (DESIGN §3)."""

from routes.erz.births import Born, register_birth
from routes.erz.deaths import Registered, register_death
from routes.erz.persons import PersonCard, SnilsSet, identify, person_card, set_snils
from routes.erz.values import (
    Act,
    AnyDate,
    BirthAct,
    Certificate,
    DeathAct,
    Identity,
    Name,
    PartialDate,
    Personal,
    PersonalDate,
    Value,
    search_key,
    snils_is_valid,
)

__all__ = [
    "Act",
    "AnyDate",
    "BirthAct",
    "Born",
    "Certificate",
    "DeathAct",
    "Identity",
    "Name",
    "PartialDate",
    "PersonCard",
    "Personal",
    "PersonalDate",
    "Registered",
    "SnilsSet",
    "Value",
    "identify",
    "person_card",
    "register_birth",
    "register_death",
    "search_key",
    "set_snils",
    "snils_is_valid",
]
