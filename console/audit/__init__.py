"""Аудит: what people did and what they looked at; filters, export."""
