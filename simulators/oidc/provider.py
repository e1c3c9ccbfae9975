"""A small OIDC provider: discovery, keys, authorization at once (no form), token. As strict as a good one.

with OidcProvider(client_id="omsbus", client_secret="…") as provider:
    provider.claims = {"sub": "42", "preferred_username": "ivanova"}
    …settings.access.oidc.issuer = provider.issuer…
    provider.spoil = {"nonce": "other"}     # claims of the next id_tokens that are not as they should be
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey


class OidcProvider:
    """Listens on a free port of 127.0.0.1 while it is entered.

    claims     of the person who signs in        spoil     replaces claims afterwards; None takes one away
    algorithm  of the signature; `none` and HS256 are what an attacker would try
    requests   paths that were asked, in order   answer    replaces the JSON of the token endpoint
    """

    def __init__(self, *, client_id: str, client_secret: str = "") -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.claims: dict[str, Any] = {}
        self.spoil: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.answer: Any = None
        self.requests: list[str] = []
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.published: list[RSAKey | OctKey | ECKey | OKPKey] = [self.key]
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def change_key(self) -> None:
        """From now on tokens are signed by another key, and only that is published."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})
        self.published = [self.key]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                provider.requests.append(url.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if url.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider._authorize(query))
                    self.end_headers()
                else:
                    self._tell(*provider._document(url.path))

            def do_POST(self) -> None:
                provider.requests.append(self.path)
                octets = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                form = {name: values[0] for name, values in parse_qs(octets.decode()).items()}
                self._tell(*provider._token(form, self.headers.get("Authorization", "")))

            def _tell(self, status: int, document: Any) -> None:
                octets = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_: Any) -> None:
                return

        return Handler

    def _document(self, path: str) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        if path == "/keys":
            return 200, KeySet(self.published).as_dict(private=False)
        return 404, {}

    def _authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return query["redirect_uri"] + "?" + urlencode({"code": code, "state": query["state"]})

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        if self.answer is not None:
            return 200, self.answer
        if self.client_secret and not self._is_client(authorization):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            **{"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": asked["nonce"]},
            **self.claims,
            **self.spoil,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": self._signed(claims)}

    def _is_client(self, authorization: str) -> bool:
        kind, _, pair = authorization.partition(" ")
        given = base64.b64decode(pair).decode().partition(":") if kind == "Basic" else ("", "", "")
        return (unquote(given[0]), unquote(given[2])) == (self.client_id, self.client_secret)

    def _signed(self, claims: dict[str, Any]) -> str:
        header = {"alg": self.algorithm, "kid": str(self.key.kid)}
        head = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        if self.algorithm == "none":
            return f"{head}."
        if self.algorithm == "HS256":  # signed with what everybody knows: the public key
            return f"{head}.{_encoded(hmac.digest(self.key.as_pem(private=False), head.encode(), 'sha256'))}"
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
