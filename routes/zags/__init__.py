"""ЕГР ЗАГС: notifications about civil acts (birth, death), taken through СМЭВ 3 registries."""
