#!/usr/bin/env python3
"""deploy/docker/seccomp.json is the filter of tuning/petasos.service, and what an engine calls itself before it starts the hub.

usage: seccomp.py [--write]
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROFILE = ROOT / "deploy/docker/seccomp.json"
# Between the load of the filter and the start of the hub the engine changes its user, gives up its capabilities, and waits.
ENGINE = ["@setuid", "@chown", "capget", "capset", "pipe", "pipe2"]


def calls(word):
    if not word.startswith("@"):
        return {word}
    command = ["systemd-analyze", "--no-pager", "syscall-filter", word]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    members = [line.strip() for line in lines if line.startswith("    ") and not line.strip().startswith("#")]
    return set().union(*map(calls, members))


allowed = set()
for line in re.findall(r"^SystemCallFilter=(.*)$", (ROOT / "tuning/petasos.service").read_text(), re.M):
    named = set().union(*map(calls, line.lstrip("~").split()))
    allowed = allowed - named if line.startswith("~") else allowed | named
allowed |= set().union(*map(calls, ENGINE))
# What RestrictNamespaces= of the unit is: no clone with a flag of these, and no clone3, whose flags no filter sees (the libc
# goes on with clone).
allowed -= {"clone", "clone3", "setns", "unshare", "userfaultfd"}
NAMESPACES = 0x7E020000
threads = {"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
profile = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": f"SCMP_ARCH_{name}", "subArchitectures": []} for name in ("X86_64", "AARCH64")],
    "syscalls": [
        {"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [threads]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}
if sys.argv[1:] == ["--write"]:
    PROFILE.write_text(json.dumps(profile, indent=1) + "\n")
there = json.loads(PROFILE.read_text())
names = set(there["syscalls"][0]["names"])
assert there["syscalls"][1:] == profile["syscalls"][1:], "the rules of clone"
# systemd of another version knows other calls: what matters is that none is allowed here which the unit refuses.
if not allowed >= names or not {"io_uring_setup", "io_uring_enter", "io_uring_register"} <= names:
    sys.exit(f"{PROFILE}: not the unit's filter: {sorted(names - allowed)}; tests/deploy/seccomp.py --write")
assert not names & {"mount", "ptrace", "bpf", "setns", "unshare", "init_module", "keyctl"}
print(f"{len(names)} system calls, those of the unit")
