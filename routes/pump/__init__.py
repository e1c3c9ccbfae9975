"""ПУМП: accounts for medical care. So far only the rendered services that other kinds ask about."""
