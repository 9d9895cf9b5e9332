"""Turn into another program that dies with its parent: run by path, imports nothing of ours.

`python -I -S launch.py SIGNAL PARENT_PID UID GID PROGRAM ARG…`. The death signal must be asked
for after the change of user, because that change clears it; `PARENT_PID` closes the gap in which
the parent may have died before we asked. A separate program, not a `preexec_fn`, because forking
Python from a process with threads can lock up. UID -1 keeps the user.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Become `argv[4:]`; does not return."""
    death_signal, parent, uid, gid = (int(text) for text in argv[:4])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)
    os.execv(argv[4], argv[4:])


if __name__ == "__main__":
    main(sys.argv[1:])
