"""What must hold when the process forks while another thread is in the middle of a call.

A child inherits every lock in the state it had, but not the thread that would release it. Two things follow. State of
ours is made new in the child (`reset_in_child`). And because Python's own per-module import locks cannot be made new,
a fork waits for imports of ours that are under way (`import_lock`), which takes milliseconds and never the network.
Does nothing where `os.register_at_fork` does not exist (Windows has no fork).
"""

from __future__ import annotations

import os
from _thread import RLock  # what threading.RLock is; `import keyless` comes here and must not load threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

import_lock = RLock()  # hold it around a late import; a fork in another thread waits for it


def _hold() -> None:
    import_lock.acquire()


def _release() -> None:
    import_lock.release()


def reset_in_child(reset: Callable[[], None]) -> None:
    """Call `reset` in every forked child before it runs anything else."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)
