"""gunicorn's worker class. Each worker becomes one of two kinds in its own process.

Hot workers own the clients' connections and answer the busiest calls in one thread (`discount.serving.hot_worker`).
Pool workers answer all other calls in threads (`discount.serving.pool_worker`).
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from gunicorn.errors import ConfigError
from gunicorn.workers.gthread import ThreadWorker

from discount.serving.activity import Activity
from discount.serving.handover import Channel
from discount.serving.roster import Kind, Roster, State


@dataclass(frozen=True, slots=True)
class Replica:
    """The state that all workers of a replica share.

    Args:
        caller_share: the share of a processor that a caller gets in each pool worker; 1 for no bound at all.
        pool_share: the share that all callers get together while hot workers are busy; 1 for no such bound.
        proxies: how many of ours add the caller's address to X-Forwarded-For.
    """

    roster: Roster
    caller_share: float = 1.0
    pool_share: float = 1.0
    proxies: int = 0
    activity: Activity = field(default_factory=Activity)
    to_pool: Channel = field(default_factory=Channel)
    to_hot: Channel = field(default_factory=Channel)


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker of either kind. The master assigns its place in the replica before it starts."""

    replica: Replica
    place: int
    kind: Kind

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError("This worker does not support TLS: set certfile and keyfile at the proxy instead")

    def join(self, replica: Replica) -> None:
        """Take a place in the replica."""
        self.replica = replica
        self.place, self.kind = replica.roster.add()

    def note(self, state: State) -> None:
        """Let the other workers know this one's state."""
        self.replica.roster.note(self.place, self.kind, state)

    def is_awaited(self) -> bool:
        """Return whether a worker that stops has to go on until one of its kind has started, during a reload."""
        roster = self.replica.roster
        return roster.has(self.kind, State.STARTING) and not roster.has(self.kind, State.RUNNING)

    def init_process(self) -> None:
        # Imported here, so that after a reload the new workers have the new code.
        self.__class__ = import_module(f"discount.serving.{self.kind}_worker").Worker
        self.init_process()
