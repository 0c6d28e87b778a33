"""A certificate authority for tests, and the certificates that it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

#: Before and after now. Wide enough for a suite that runs past midnight, and for a clock that a test moves.
VALID = timedelta(days=2)


class Authority:
    """Signs certificates for host names and addresses, and writes them to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "The tests")])
        self._root = self._certificate(self._key, self._name, None, self._key)

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this authority and no other."""
        return ssl.create_default_context(cadata=self._root.public_bytes(Encoding.PEM).decode())

    def root_file(self) -> Path:
        """Return a file with the authority's own certificate."""
        file = self._folder / "root.pem"
        file.write_bytes(self._root.public_bytes(Encoding.PEM))
        return file

    def server_context(self, host: str, *, self_signed: bool = False) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate for a host name or address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(host, self_signed=self_signed))
        return context

    def server_file(self, host: str, *, self_signed: bool = False) -> Path:
        """Return a file with a server's certificate for a host name or address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._certificate(key, subject, host, key if self_signed else self._key)
        file = self._folder / f"{host}-{self_signed}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
        return file

    def _certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        host: str | None,
        signer: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        """Sign a certificate; without a host, that of an authority."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if signer is key else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - VALID)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(_usage(of_authority=host is None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if host is not None:
            name = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(signer, hashes.SHA256())


def _usage(*, of_authority: bool) -> x509.KeyUsage:
    """Return what a key may be used for. Python 3.13 and later require it of an authority (RFC 5280, 4.2.1.3)."""
    others = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    return x509.KeyUsage(
        digital_signature=not of_authority,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        encipher_only=False,
        decipher_only=False,
        **others,
    )
