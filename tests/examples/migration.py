#!/usr/bin/env python3
"""docs/migration.md, "Moving an application to 1.0", as an operator follows it: its commands, in shells, and what it says of each step.

usage: migration.py BINARY

Not done as they stand there: the port, which may be taken here.
"""

import os
import pathlib
import re
import sys
import tempfile

from readme import ROOT, Terminal, free_ports


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    (port,) = free_ports(1)
    page = (ROOT / "docs/migration.md").read_text()
    section = page[page.index("## Moving an application to 1.0"):]

    def here(command):
        return command.replace("localhost:3000", f"127.0.0.1:{port}").replace("--addr :3000", f"--addr 127.0.0.1:{port}")

    blocks = re.findall(r"^ *```console\n(.*?)^ *```$", section, re.M | re.S)
    both, publish, subscribe = [[here(command) for command in re.findall(r"^ *\$ (.*)$", block, re.M)] for block in blocks]
    key, url, issuer, config, start = both
    (old, read_old, new, read_new), terminals = subscribe, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.symlink(binary, folder / "petasos")
        environment = {"PATH": f"{name}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}

        def terminal(title):
            terminals.append(Terminal(folder, environment, title))
            return terminals[-1]

        try:
            hub = terminal("hub")
            # The key of the hub that is there already.
            hub.run("openssl rand -base64 48 >hub.key")
            for command in (key, url, issuer):
                hub.run(command)
            assert re.search(r"^PROTOCOL +default +07,08$", hub.run(config), re.M), hub.text()
            hub.type(start)
            hub.shows("petasos serves", start)

            user = terminal("user")
            for command in (url, issuer, publish[0], old, *publish[1:]):
                printed = user.run(command)
            assert "urn:uuid:" in printed, printed
            user.type(read_old + " &")
            user.shows("data: moved\n", read_old)
            user.run(new)
            user.type(read_new + " &")
            user.shows("data: moved\n", read_new, 2)
            user.run("kill %1 %2")

            # Step 5: the same without the old keys.
            hub.end()
            alone = terminal("alone")
            for command in (url, issuer):
                alone.run(command)
            command = start.removeprefix("JWT_KEY_FILE=hub.key ")
            assert command != start
            alone.type(command)
            alone.shows("petasos serves", command)
            user.type(read_new + " &")
            user.shows("data: moved\n", f"{read_new}, on the hub for 1.0 alone", 3)
            status = "curl -s -o answer -w '%{http_code}'"
            for token, parameter, wanted in (("NEW", "topic", "400"), ("OLD", "match", "401")):
                printed = user.run(f'{status} -H "Authorization: Bearer ${token}" "$PUBLIC_URL?{parameter}=a"')
                assert wanted in printed, (token, printed)
        finally:
            for shell in terminals:
                if shell.shell.poll() is None:
                    shell.end()
    print("docs/migration.md: its commands do what it says")


if __name__ == "__main__":
    main()
