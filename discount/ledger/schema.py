"""The schema of the ledger's tables: its version, and the migrations to it.

Only those who need it import this module: Alembic takes as long to import as the rest of the ledger.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from discount.domain.errors import Unavailable
from discount.ledger.database import Database


def upgrade(database: Database) -> None:
    """Make the tables, or bring them to the schema of this version."""
    if database.is_sqlite and database.url.database:
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
    with database.writing() as connection:
        if not database.is_sqlite:
            # Only one process at a time; the lock ends with the transaction.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7307201)")
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(database: Database) -> None:
    """Compare the schema of the tables with that of this version.

    Raises:
        Unavailable: they differ, or the database does not answer.
    """
    with database.reading() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_alembic()).get_current_head()
    if found != wanted:
        raise Unavailable(
            f"The tables of the ledger have version {found or 'none'}, this program needs {wanted};"
            " run `discount ledger upgrade`."
        )


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
