"""The service with a store that writes nothing: what durability costs is the difference. For the benchmark only."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keyless.cli.main import main
from keyless.server.store import Grant, Outcome, Refusal, Store, Verdict


def _say_yes(_store: Store, batch: Sequence[Grant | Refusal]) -> list[Outcome]:
    return [Outcome(Verdict.GRANTED, use=1) for _ in batch]


def _wait_for_nothing(_store: Store, _batch: Sequence[Grant | Refusal]) -> None:
    return None


if __name__ == "__main__":
    Store.commit = _say_yes  # type: ignore[method-assign]  # that is the point
    Store.begin_commit = _wait_for_nothing  # type: ignore[method-assign]  # as above
    sys.exit(main(sys.argv[1:]))
