"""Dialects: the HTTP interfaces of earlier services, as thin layers over ours. They own no rule and no key."""
