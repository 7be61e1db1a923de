#!/usr/bin/env python3
"""Names and certificates in a root that holds the static binary and no libc: it has to find a host by its name server and in
its /etc/hosts, and to trust who the file of authorities trusts.

usage: names.py ROOT CERTIFICATE KEY    (in a network namespace of its own, as root; CERTIFICATE is for hub.test)
"""

import fcntl
import http.server
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading

root, certificate, key = sys.argv[1:]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    request = struct.pack("16sh22x", b"lo", 0)
    _, flags = struct.unpack_from("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, request))
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))

asked = []


def serve_names():
    """Answers every question for an A with 127.0.0.1, every other with nothing."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        name, kind = query[12 : end - 5], struct.unpack_from(">H", query, end - 4)[0]
        asked.append(name)
        answers = 1 if kind == 1 else 0
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, answers, 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
        server.sendto(head + query[12:end] + record * answers, client)


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def listen(tls):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def health(url):
    command = [shutil.which("chroot"), "--userspec=65532:65532", root, "/petasos", "health", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={})
    print(" ", (done.stdout + done.stderr).strip())
    return done.returncode


threading.Thread(target=serve_names, daemon=True).start()
etc = pathlib.Path(root, "etc")
(etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
plain, tls = listen(False), listen(True)
assert health(f"http://hub.test:{plain}") == 0 and asked, "the name server was not asked, or in vain"
shutil.copy(certificate, etc / "ssl/certs/ca-certificates.crt")
assert health(f"https://hub.test:{tls}") == 0, "the authority is trusted and was not"
assert health(f"https://other.test:{tls}") == 1, "a certificate of another name was trusted"
asked.clear()
(etc / "hosts").write_text("127.0.0.1 listed.test\n")
assert health(f"http://listed.test:{plain}") == 0 and not asked, "/etc/hosts was not read"
