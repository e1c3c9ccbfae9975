"""Queues: what waits where, for how long, what it is doing; pause, resume, poll, drain, numbers."""
