"""The URLs that webhooks may have."""

import ipaddress

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Policy, Reach, SSRFGuardError

from discount.domain.errors import Invalid

#: The ports that webhooks may use; with `loopback`, any port.
PORTS = frozenset({443, 8443})
# Gateways translate these to IPv4 addresses, private ones included. The library does not deny them by itself.
_TRANSLATED = Block(ipaddress.IPv6Network("::ffff:0:0:0/96"), "IPv4-translated", "RFC2765", Reach.DENIED)
_DENIED = AddressTable((*DEFAULT_DENIED.blocks, _TRANSLATED), snapshot=DEFAULT_DENIED.snapshot)
_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))


def policy(*, loopback: bool) -> Policy:
    """Return the policy: https to public addresses only; with `loopback` also http, any port and this machine."""
    if not loopback:
        return Policy(allowed_schemes=frozenset({"https"}), allowed_ports=PORTS, denied_networks=_DENIED)
    return Policy(
        denied_networks=_DENIED,
        allowed_schemes=frozenset({"https", "http"}),
        allowed_ports=frozenset(range(1, 65536)),
        allowed_networks=_LOOPBACK,
    )


def check_url(allowed: Policy, url: str, field: str) -> None:
    """Refuse a URL that webhooks may not have. Its host name is resolved and checked again for every call.

    Raises:
        Invalid: names the field.
    """
    try:
        allowed.check_url(url)
    except SSRFGuardError:
        permitted = (
            "http or https, to this machine or a public address"
            if "http" in allowed.allowed_schemes
            else "https, to a public address on port 443 or 8443"
        )
        raise Invalid(field, f"is not a URL that a webhook may have; use {permitted}") from None
