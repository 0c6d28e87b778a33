"""SMTP client (RFC 5321): one e-mail at a time goes to the mail server, within one total timeout."""

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

#: The most characters of a server's reply that are kept.
KEPT = 200
#: Seconds between two tries to shut down a connection whose time is over.
_SHUTDOWN_PAUSE = 0.05
# The name for EHLO. By default smtplib looks it up for each e-mail, without a timeout.
_HOSTNAME = socket.gethostname()
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


class SmtpClient:
    """A client of one mail server, each over a new connection.

    `smtps://` uses TLS from the start and `smtp://` requires STARTTLS; both check certificates. `smtp+plain://` has no
    TLS, for a server on this machine or in a private network.

    Args:
        url: the server, with a percent-encoded user and password if it requires a login.
        timeout: the most seconds that one e-mail may take in all.
        context: checks certificates; by default with the system's authorities.

    Raises:
        SettingsError: the URL is not valid. The message does not repeat it, because it may contain a password.
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
            raise SettingsError("SMTP_URL: the user and the password may contain only ASCII characters")

    def __repr__(self) -> str:
        return f"SmtpClient({self._scheme}://{self._host}:{self._port})"

    def send(self, message: EmailMessage) -> Receipt:
        """Send an e-mail and return the receipt; never raise for what the server does or says.

        The outcome is `failed` only if the server rejects this e-mail for good (5xx); any other failure is `retry`.
        """
        to: str = message["To"].addresses[0].addr_spec
        started = time.monotonic()
        deadline = _Deadline(self._timeout)
        outcome: Outcome = "retry"
        try:
            self._transmit(message, to, deadline)
            outcome, status, answer = "delivered", "250", ""
        except smtplib.SMTPRecipientsRefused as error:
            code, reply = error.recipients[to]
            outcome, status, answer = _outcome(code), str(code), _text(reply)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            outcome, status, answer = _outcome(error.smtp_code), str(error.smtp_code), _text(error.smtp_error)
        except smtplib.SMTPResponseException as error:
            # A refused greeting or login says nothing about this e-mail, so the outcome stays `retry`.
            status, answer = str(error.smtp_code), _text(error.smtp_error)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            status, answer = "no-answer", str(error) or type(error).__name__
        finally:
            deadline.end()
        took = time.monotonic() - started
        # A conversation cut off by the deadline can look like a reply or a lost connection.
        if outcome != "delivered" and (deadline.passed or took >= self._timeout):
            outcome, status, answer = "retry", "timeout", f"The e-mail was not accepted within {self._timeout:g} s."
        masked = re.sub(re.escape(to), lambda _: _masked(to), answer, flags=re.IGNORECASE)
        cleaned = "".join(letter if letter.isprintable() else " " for letter in masked)[:KEPT]
        return Receipt(outcome, status, cleaned, int(took * 1000))

    def _transmit(self, message: EmailMessage, to: str, deadline: "_Deadline") -> None:
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
        # The server has accepted the e-mail, so errors while saying QUIT do not matter.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()

    def _connect(self, deadline: "_Deadline") -> smtplib.SMTP:
        if self._scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                local_hostname=_HOSTNAME, timeout=self._timeout, context=self._context
            )
        else:
            server = smtplib.SMTP(local_hostname=_HOSTNAME, timeout=self._timeout)
        deadline.watch(server)
        # smtplib sets the host that certificates are checked for only if it connects in its constructor.
        server._host = self._host  # type: ignore[attr-defined]
        code, reply = server.connect(self._host, self._port)
        if code != 220:
            server.close()
            raise smtplib.SMTPConnectError(code, reply)
        return server


class _Deadline:
    """A timer that shuts a connection down when its total time is over.

    Socket timeouts are not enough: a server that sends a byte a second never exceeds one.
    """

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
        # The connection may not exist yet, during a name lookup or a handshake; so try until the attempt ends.
        while True:
            connection = self._server.sock if self._server else None
            if connection is not None:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            if self._ended.wait(_SHUTDOWN_PAUSE):
                return


def _outcome(code: int) -> Outcome:
    return "failed" if code >= 500 else "retry"


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


def _masked(address: str) -> str:
    return f"{address[:1]}…{address[address.rindex('@') :]}"
