"""`python -m discount.ledger`: bring the tables of LEDGER_URL to the schema of this version, as `discount run` does.

`discount ledger upgrade` does the same, and takes twice as long to import what the other commands need.
"""

import os
import sys

from discount.domain.errors import Unavailable
from discount.ledger import LedgerError
from discount.ledger.database import Database
from discount.ledger.schema import upgrade

try:
    upgrade(Database(os.environ["LEDGER_URL"]))
except (LedgerError, Unavailable) as error:
    sys.exit(f"discount: {error}")
