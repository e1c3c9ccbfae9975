"""Журнал сообщений: the list with its filters, the card of a message, the keys by which the journal is searched."""
