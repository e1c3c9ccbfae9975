"""ЕРЗ: the shared registry of insured persons. Other subsystems use `routes.erz.api` and nothing else of it."""
