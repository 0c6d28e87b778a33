"""An issuer of users' tokens: it signs them, and publishes its keys over HTTP."""

import base64
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "j" * 32
ISSUER, AUDIENCE = "https://shop.example", "discount"
_ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def claims(user: str = "Ann", **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token; a change to None leaves one out."""
    now = int(time.time())
    given = {"sub": user, "exp": now + 600, "iat": now, "aud": AUDIENCE, "iss": ISSUER} | changes
    return {name: value for name, value in given.items() if value is not None}


def signed(user: str = "Ann", *, secret: str = SECRET, **changes: Any) -> str:
    """Return a user's token, signed with the shared secret."""
    return jwt.encode(claims(user, **changes), secret, algorithm="HS256")


def unsigned(user: str = "Ann") -> str:
    """Return a token that claims to need no signature."""
    return jwt.encode(claims(user), "", algorithm="none")


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class Issuer:
    """Keys of every kind, and a server that publishes them at `url` as long as it is `up`."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.extra: list[dict[str, Any]] = []
        self.up = True
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": [*issuer._published(), *issuer.extra]}).encode()
                self.send_response(200 if issuer.up else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def restart(self) -> None:
        """Make and publish new keys of each kind."""
        self.keys = {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }
        self.extra, self.up, self.asked = [], True, 0

    def sign(self, algorithm: str, user: str = "Ann", *, kid: str | None = None, **changes: Any) -> str:
        """Return a user's token, signed with a published key."""
        headers = {"kid": kid or algorithm}
        return jwt.encode(claims(user, **changes), self.keys[algorithm], algorithm=algorithm, headers=headers)

    def confused(self, user: str = "Ann") -> str:
        """Return a token signed with HS256 and the public RSA key as the secret.

        A verifier that trusts the token's `alg` would accept it.
        """
        public = self.keys["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = _part({"alg": "HS256", "typ": "JWT", "kid": "RS256"}) + "." + _part(claims(user))
        mac = hmac.digest(public, text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def _published(self) -> list[dict[str, Any]]:
        return [
            json.loads(_ALGORITHMS[name].to_jwk(key.public_key())) | {"kid": name, "alg": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
