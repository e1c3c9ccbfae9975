"""Пробный прогон: a new transformer or schema on real messages, and what it would change."""
