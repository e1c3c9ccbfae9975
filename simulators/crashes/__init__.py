"""Kills the bus at every named step of a message's way, and counts on both sides what became of it."""
