"""Вебхуки: who is told of what happens in the bus, and how that goes."""
