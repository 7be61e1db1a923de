#!/usr/bin/env python3
"""docs/first-steps.md, as a new user follows it: its commands in an empty folder, its page from a file in Chromium.

usage: first_steps.py BINARY CHROMEDRIVER_URL

Only two things are not done as they stand there: the installation, and the port, which may be taken here.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from chromium import browser

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "first-steps.md"
DEADLINE_S = 20


def await_until(what, holds):
    until = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > until:
            sys.exit(f"docs/first-steps.md: {what}")
        time.sleep(0.05)


class Terminal:
    """A shell in the folder: its commands come one by one, as they are typed."""

    def __init__(self, folder, path, name):
        self.output = pathlib.Path(folder) / f".{name}"
        with open(self.output, "wb") as output:
            self.shell = subprocess.Popen(["bash"], cwd=folder, env=path, stdin=subprocess.PIPE, stdout=output, stderr=output,
                                          text=True, start_new_session=True)

    def type(self, command):
        self.shell.stdin.write(command + "\n")
        self.shell.stdin.flush()

    def shows(self, text, what):
        await_until(f"{what}: {text!r} does not appear", lambda: text in self.output.read_text())

    def interrupt(self):
        """Ctrl+C: to the program in front, the shell's child, and not to the shell."""
        children = pathlib.Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGINT)

    def end(self):
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()


def main():
    binary, driver = sys.argv[1:]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = PAGE.read_text().replace("localhost:3000", f"localhost:{port}").replace("--addr :3000", f"--addr :{port}")
    blocks = [re.findall(r"^\$ (.*)$", block, re.M) for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)]
    install, start, publish, start_again, publish_again, listen, publish_privately = blocks
    assert install == ["cargo install --path . --locked"], install
    html = re.search(r"^```html\n(.*?)^```$", text, re.M | re.S)[1]
    with tempfile.TemporaryDirectory() as tools, tempfile.TemporaryDirectory() as folder, browser(driver) as page:
        os.symlink(os.path.realpath(binary), f"{tools}/petasos")
        path = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": folder}
        hub, second, third = terminals = [Terminal(folder, path, name) for name in ("hub", "second", "third")]

        def items():
            return page.run("return [...document.querySelectorAll('li')].map(item => item.textContent)")

        def is_open():
            return page.run("return source.readyState") == 1

        try:
            for command in start:
                hub.type(command.replace("DEMO=1", f"DEMO=1 ADDR=:{port}"))
            hub.shows("petasos serves", "step 2")
            pathlib.Path(folder, "page.html").write_text(html)
            page.open(f"file://{folder}/page.html")
            await_until("step 3: the page is not connected", is_open)
            for command in publish:
                second.type(command)
            second.shows("urn:uuid:", "step 4")
            await_until("step 4: the page shows nothing", lambda: items() == ["Ulysses is back in stock"])
            hub.interrupt()
            await_until("the hub does not stop", lambda: not is_open())
            for command in start_again:
                hub.type(command)
            await_until("step 5: the page does not come back", is_open)
            if (mode := pathlib.Path(folder, "key").stat().st_mode & 0o777) != 0o600:
                sys.exit(f"docs/first-steps.md: others may read the key: {mode:o}")
            for command in [publish[1], publish[1].replace("books/1", "books/2")]:
                second.type(command)
            second.shows("Unauthorized", "step 5, with the old token")
            for command in publish_again:
                second.type(command)
            await_until("step 5: the page shows nothing", lambda: len(items()) == 2)
            second.type(publish_again[1].replace("books/1", "books/2"))
            second.shows("Forbidden", "step 5, another topic")
            for command in listen:
                third.type(command)
            third.shows(":\n", "step 6")
            for command in publish_privately:
                second.type(command)
            third.shows("data: Reserved for you", "step 6")
            second.type(publish_again[1].replace("Two copies are left", "The end"))
            await_until("the end", lambda: len(items()) == 3)
            wanted = ["Ulysses is back in stock", "Two copies are left", "The end"]
            if items() != wanted:
                sys.exit(f"docs/first-steps.md: the page shows {items()}, not {wanted}")
        except SystemExit:
            for terminal in terminals:
                print(f"-- {terminal.output.name}", terminal.output.read_text(), sep="\n")
            print("-- the page", items(), sep="\n")
            raise
        finally:
            for terminal in terminals:
                terminal.end()
    print("docs/first-steps.md works as it stands there")


main()
