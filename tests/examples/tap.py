#!/usr/bin/env python3
"""Between clients and a hub: keeps every byte that the clients send.

usage: tap.py PORT-OF-THE-HUB FILE; prints its own port.
"""

import socket
import sys
import threading


def copy(source, sink, file=None):
    try:
        while part := source.recv(65536):
            if file:
                file.write(part)
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


with open(sys.argv[2], "ab", buffering=0) as sent, socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        hub = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        threading.Thread(target=copy, args=(client, hub, sent), daemon=True).start()
        threading.Thread(target=copy, args=(hub, client), daemon=True).start()
