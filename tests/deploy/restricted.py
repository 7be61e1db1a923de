#!/usr/bin/env python3
"""Starts the hub of an image as Kubernetes' policy "restricted" has it, with a read-only root: no capability, no way to get one, a
user that no file knows. Only /data may be written. (The filter of system calls is tests/common/without_io_uring.py.)

usage: restricted.py ROOT PORT    (as root; becomes the hub)
"""

import ctypes
import os
import pathlib
import sys

root, port = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38


def call(result):
    if result:
        sys.exit("restricted.py: " + os.strerror(ctypes.get_errno()))


def mount(source, target, kind, flags, options=None):
    call(libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), options and options.encode()))


call(libc.unshare(CLONE_NEWNS))
mount("none", "/", None, MS_REC | MS_PRIVATE)
mount(root, root, None, MS_BIND)
mount("data", root + "/data", "tmpfs", MS_NOSUID, "mode=0770,uid=4321,gid=4321")
# As an engine does, before the root cannot be written any more.
for folder in ("proc", "dev"):
    pathlib.Path(root, folder).mkdir(exist_ok=True)
mount("proc", root + "/proc", "proc", MS_RDONLY)
mount("/dev", root + "/dev", None, MS_BIND)
mount("none", root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
os.chroot(root)
os.chdir("/data")
for capability in range(int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
    call(libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0))
os.setgroups([])
os.setresgid(4321, 4321, 4321)
os.setresuid(4321, 4321, 4321)
call(libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0))
try:
    open("/written", "w", encoding="ascii")
    sys.exit("restricted.py: the root can be written")
except OSError:
    pass
environment = {"ADDR": "127.0.0.1:" + port, "DB_PATH": "/data/updates.db", "JWT_KEY": 32 * "k", "DRAIN_TIMEOUT": "0s"}
os.execve("/petasos", ["/petasos"], environment)
