"""The ledger: the SQL database that keeps what happened, written from the events and never read on the hot path."""
