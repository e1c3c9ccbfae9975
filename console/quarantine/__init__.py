"""Карантин: what stands there by reason, jobs over many messages, corrections that a second person approves."""
