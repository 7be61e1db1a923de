"""Runs a program in a filter of system calls as container engines have it: it allows everything but io_uring_setup (425 on x86-64
and arm64), which fails with EPERM. See prctl(2), seccomp(2).

usage: without_io_uring.py PROGRAM [ARGUMENT]...
"""

import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = Program(len(steps), ctypes.addressof(code))
zero = ctypes.c_ulong(0)
no_new_privileges, seccomp, by_filter = 38, 22, ctypes.c_ulong(2)
if libc.prctl(no_new_privileges, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(seccomp, by_filter, ctypes.byref(program), zero, zero):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
