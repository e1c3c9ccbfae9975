"""Who may do what: permissions and roles, accounts, sessions, tokens of the API. No screen and no HTTP in here."""
