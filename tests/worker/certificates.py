"""An authority of the tests' own, and the certificates that it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Authority:
    """Signs certificates for 127.0.0.1, or for a name; its files stand in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "The tests")])
        self._root = self._certificate(self._key, self._name, None, self._key)

    def trusting(self) -> ssl.SSLContext:
        """What a caller that trusts this authority alone checks with."""
        return ssl.create_default_context(cadata=self._root.public_bytes(Encoding.PEM).decode())

    def serving(self, name: str, *, self_signed: bool = False) -> ssl.SSLContext:
        """What a server of that name or address shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        shown = self._certificate(key, subject, name, key if self_signed else self._key)
        file = self._folder / f"{name}-{self_signed}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(shown.public_bytes(Encoding.PEM) + pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        name: str | None,
        signer: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        # Clocks of a busy machine are right; a day is for a suite that runs past midnight.
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if signer is key else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if name is not None:
            shown = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
            builder = builder.add_extension(x509.SubjectAlternativeName([shown]), critical=False)
        return builder.sign(signer, hashes.SHA256())
