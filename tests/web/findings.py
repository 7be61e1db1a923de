#!/usr/bin/env python3
"""Reads what testssl.sh found: nothing may be worse than low, and something must have been tested.

usage: findings.py FILE
"""

import json
import sys

# The certificate is the test's own, and signed by nobody; that says nothing about the hub.
# `engine_problem` is one of testssl.sh itself: an OpenSSL without GOST, as Debian installs it without recommended packages.
OWN = ("engine_problem", "cert_", "cert ", "DNS_CAArecord", "chain_of_trust", "OCSP", "security_headers", "overall_grade")

# With TLS 1.3 a ticket comes behind the handshake, and the client of testssl.sh may have left by then: it then has nothing to resume
# from, and calls that a connect problem. That sessions are resumed is tested in tests/it/tls.rs.
RACES = ("sessionresumption_ticket", "check failed because of connect problem")

findings = json.load(open(sys.argv[1]))
bad = [
    finding for finding in findings
    if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL") and not finding["id"].startswith(OWN)
    and (finding["id"], finding["finding"]) != RACES
]
for finding in bad:
    print(finding["severity"], finding["id"], finding["finding"])
if bad:
    sys.exit(1)
print(f"testssl.sh: nothing above low ({len(findings)} findings in its file)")
