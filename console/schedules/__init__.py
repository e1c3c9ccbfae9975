"""Расписания: what fires when, its history, and what operators change of it."""
