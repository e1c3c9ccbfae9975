"""Реестры: the screens that subsystems declare (core.screen), shown by starlette-admin inside our shell."""
