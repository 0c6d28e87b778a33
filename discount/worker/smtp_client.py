"""The only SMTP client: hands one e-mail to a mail server, in a bounded time, and says how that went (RFC 5321)."""

import re
import smtplib
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from discount.config import SettingsError
from discount.domain.model import Outcome, Receipt

#: How much of an answer is kept.
KEPT = 200
#: Seconds until one whose time is over is cut off once more.
_AGAIN = 0.05
# The library's own guess asks the name server, for each e-mail, for as long as that takes.
_HERE = socket.gethostname()
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


class SmtpClient:
    """Sends through one mail server, with a connection of its own for each e-mail.

    `smtps://` speaks TLS from the start, `smtp://` demands STARTTLS; only `smtp+plain://` goes without, for a server on
    this machine or in a network of one's own. Certificates are checked.

    Args:
        url: with a user and a password, percent-encoded, where the server asks for them.
        timeout: seconds for all of one e-mail.
        context: what certificates are checked with.

    Raises:
        SettingsError: the URL is none; it is not repeated, for it may hold a password.
    """

    def __init__(self, url: str, timeout: float, context: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout
        self._context = context or ssl.create_default_context()
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SettingsError("SMTP_URL: is not a URL") from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise SettingsError("SMTP_URL: is not like `smtps://user:password@host:465`")
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._port = port or _PORTS[parts.scheme]
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        if self._login and not "".join(self._login).isascii():
            raise SettingsError("SMTP_URL: the user and the password may be of ASCII only")

    def __repr__(self) -> str:
        return f"Postman({self._scheme}://{self._host}:{self._port})"

    def send(self, message: EmailMessage) -> Receipt:
        """How it went; never raises for what the other side does.

        What the server refuses of the e-mail itself for good (5xx) is `failed`; all else may go well another time.
        """
        to: str = message["To"].addresses[0].addr_spec
        started = time.monotonic()
        deadline = _Deadline(self._timeout)
        outcome: Outcome = "retry"
        try:
            status, answer = self._hand_over(message, to, deadline)
            outcome = "delivered"
        except smtplib.SMTPRecipientsRefused as error:
            code, told = error.recipients[to]
            outcome, status, answer = _outcome(code), str(code), _text(told)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            outcome, status, answer = _outcome(error.smtp_code), str(error.smtp_code), _text(error.smtp_error)
        except smtplib.SMTPResponseException as error:
            # At the greeting or the log-in: that is nothing about this e-mail.
            status, answer = str(error.smtp_code), _text(error.smtp_error)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            status, answer = "no-answer", str(error) or type(error).__name__
        finally:
            deadline.end()
        took = time.monotonic() - started
        # What was cut off in the middle can look like an answer, and a wait that is over like a server that went away.
        if outcome != "delivered" and (deadline.passed or took >= self._timeout):
            outcome, status, answer = "retry", "timeout", f"Not done within {self._timeout:g} s."
        shown = re.sub(re.escape(to), lambda _: _masked(to), answer, flags=re.IGNORECASE)
        cleaned = "".join(letter if letter.isprintable() else " " for letter in shown)[:KEPT]
        return Receipt(outcome, status, cleaned, int(took * 1000))

    def _hand_over(self, message: EmailMessage, to: str, deadline: "_Deadline") -> tuple[str, str]:
        server = self._connect(deadline)
        try:
            if self._scheme == "smtp":
                server.starttls(context=self._context)
                server.ehlo()
            if self._login:
                server.login(*self._login)
            sender = message["From"].addresses[0].addr_spec
            server.sendmail(sender, [to], bytes(message))
        except BaseException:
            server.close()
            raise
        # It is the server's now: what goes wrong with the good-bye changes nothing.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()
        return "250", ""

    def _connect(self, deadline: "_Deadline") -> smtplib.SMTP:
        if self._scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=_HERE, timeout=self._timeout, context=self._context)
        else:
            server = smtplib.SMTP(local_hostname=_HERE, timeout=self._timeout)
        deadline.watch(server)
        # Else the library takes no server's name for certificates.
        server._host = self._host  # type: ignore[attr-defined]
        code, told = server.connect(self._host, self._port)
        if code != 220:
            server.close()
            raise smtplib.SMTPConnectError(code, told)
        return server


class _Deadline:
    """Ends a conversation when its time is over: each wait has a bound, but a byte a second would keep all of them."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._server: smtplib.SMTP | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, args=(seconds,), name="deadline", daemon=True).start()

    def watch(self, server: smtplib.SMTP) -> None:
        self._server = server

    def end(self) -> None:
        self._ended.set()

    def _run(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            return
        self.passed = True
        # A look-up or a handshake may be under way still, and the connection stand only after it.
        while True:
            connection = self._server.sock if self._server else None
            if connection is not None:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            if self._ended.wait(_AGAIN):
                return


def _outcome(code: int) -> Outcome:
    return "failed" if code >= 500 else "retry"


def _text(told: bytes | str) -> str:
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else told


def _masked(address: str) -> str:
    return f"{address[:1]}…{address[address.rindex('@') :]}"
