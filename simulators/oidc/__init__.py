"""An OIDC provider on this machine, for tests: authorization code with PKCE."""
