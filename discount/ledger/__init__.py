"""The ledger: the SQL database that keeps what happened, written from the events and never read on the hot path."""


class LedgerError(Exception):
    """The ledger cannot be used as it is. The message is one line for the operator."""
