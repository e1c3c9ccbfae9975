"""Мой профиль: the own password, time zone, look, sessions and last sign-ins."""
