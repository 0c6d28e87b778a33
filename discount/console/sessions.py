"""The session of a person: a signed cookie that names an API key, the admin key or a person of an OpenID provider."""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer

from discount.domain.errors import Unauthenticated
from discount.domain.model import Author, Caller, Scope
from discount.security.tokens import Tokens

#: Seconds after which a session ends: without a click, and in all.
IDLE, LONGEST = 8 * 3600, 24 * 3600
#: Seconds of activity that the cookie may miss: it is renewed no more often.
RENEWED = 300
_SCOPES = frozenset(get_args(Scope))


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of the cookie. It names a key without its secret.

    Args:
        nonce: a random text, from which the token of the forms is made.
        key: the id of an API key, the mark of the admin key, or empty.
        person: the name of a person of the OpenID provider, or empty.
        scopes: the person's rights; those of a key are read again at each request.
        brand: the brand of such a person; None for all.
        began, seen: seconds since 1970.
    """

    nonce: str
    key: str = ""
    person: str = ""
    scopes: tuple[str, ...] = ()
    brand: str | None = None
    began: int = 0
    seen: int = 0

    @property
    def is_signed_in(self) -> bool:
        return bool(self.key or self.person)


_ADMIN = "admin:"


class Sessions:
    """Makes and reads the cookies.

    Args:
        make_key: returns the key that signs the cookies; it may ask Redis.
        tokens: identifies keys.
    """

    def __init__(self, make_key: Callable[[], bytes], tokens: Tokens) -> None:
        self._make_key = make_key
        self._tokens = tokens

    def new(self) -> Session:
        """Return a session of nobody."""
        now = int(time.time())
        return Session(secrets.token_urlsafe(18), began=now, seen=now)

    def sign_in(self, token: str) -> Session:
        """Return a session of the owner of an API key or of the admin key.

        Raises:
            Unauthenticated: the token is not valid, or is a user's.
            Unavailable
        """
        caller = self._tokens.identify(token)
        self._tokens.check_key(caller)
        if caller.user_id is not None:
            raise Unauthenticated("This is a user's token. Sign in with an API key, or with the admin key.")
        key = caller.key_id or _ADMIN + self._tokens.admin_mark()
        return msgspec.structs.replace(self.new(), key=key, scopes=tuple(sorted(caller.scopes)))

    def of_person(self, person: str, scopes: frozenset[Scope], brand: str | None) -> Session:
        """Return a session of a person whom an OpenID provider has identified."""
        return msgspec.structs.replace(self.new(), person=person, scopes=tuple(sorted(scopes)), brand=brand)

    def caller(self, session: Session) -> Caller:
        """Return whom a session stands for, as things are now.

        Raises:
            Unauthenticated: nobody has signed in, the session has ended, or its key was revoked.
            Unavailable
        """
        now = time.time()
        if not session.is_signed_in or now - session.seen > IDLE or now - session.began > LONGEST:
            raise Unauthenticated("Please sign in.")
        if session.person:
            return Caller(_SCOPES.intersection(session.scopes), brand_id=session.brand)
        if session.key.startswith(_ADMIN):
            if not hmac.compare_digest(session.key, _ADMIN + self._tokens.admin_mark()):
                raise Unauthenticated("The admin key was changed.")
            return Caller(frozenset(["admin"]))
        return self._tokens.owner_of_key(session.key)

    def author(self, session: Session, request_id: str) -> Author:
        """Return who makes a change, for its event."""
        if session.person:
            return Author(f"person:{session.person}", request_id)
        return Author("admin" if session.key.startswith(_ADMIN) else f"key:{session.key}", request_id)

    def read(self, text: str) -> Session | None:
        """Return the session in a cookie, or None if this service did not sign it."""
        try:
            return msgspec.convert(self._signer("session").loads(text), Session)
        except (BadSignature, msgspec.ValidationError):
            return None

    def write(self, session: Session) -> str:
        """Return a session as a cookie holds it."""
        return str(self._signer("session").dumps(msgspec.to_builtins(session)))

    def renewed(self, session: Session) -> Session | None:
        """Return a session with its last use; None if the cookie is new enough."""
        now = int(time.time())
        return msgspec.structs.replace(session, seen=now) if now - session.seen > RENEWED else None

    def form_token(self, session: Session) -> str:
        """Return the text that a form has to send back."""
        return hmac.new(self._make_key(), b"form:" + session.nonce.encode(), "sha256").hexdigest()[:32]

    def seal(self, purpose: str, facts: Mapping[str, Any]) -> str:
        """Return facts as signed text, for a cookie that lives until a person comes back from the OpenID provider."""
        return str(self._signer(purpose).dumps(dict(facts)))

    def unseal(self, purpose: str, text: str) -> dict[str, Any] | None:
        """Return what `seal` signed, or None if this service did not sign it."""
        try:
            found: dict[str, Any] = self._signer(purpose).loads(text)
        except BadSignature:
            return None
        return found

    def _signer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._make_key(), salt=purpose)
