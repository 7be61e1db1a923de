#!/usr/bin/env python3
"""examples/README.md, as a new user follows it: its commands, in shells, in a copy of the folder; then those of the files' first lines.

usage: readme.py BINARY FOLDER-OF-THE-RUST-EXAMPLES

Not done as they stand there: the ports, which may be taken here; the pauses, which are longer, as a busy machine starts programs slowly;
`apt-get`, which is asked only whether it would; and Cargo's build, which is done already. tests/embed.rs runs embed.rs and axum.rs, tests/web/origins.py the page of `browser`.
"""

import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# For installing libraries, too.
DEADLINE_S = 180
PAUSE_FACTOR = 4


def free_ports(count):
    """Below those that connections get: such a port may be taken again before a program listens on it."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        if str(port) not in ports:
            ports.append(str(port))
    return ports


class Terminal:
    def __init__(self, folder, path, name):
        self.output = folder / f".{name}"
        with open(self.output, "wb") as output:
            self.shell = subprocess.Popen(["bash"], cwd=folder, env=path, stdin=subprocess.PIPE, stdout=output, stderr=output,
                                          text=True, start_new_session=True)
        self.count = 0

    def type(self, command):
        self.shell.stdin.write(command + "\n")
        self.shell.stdin.flush()

    def run(self, command):
        """Types it, waits for its end, and answers what it printed."""
        self.count += 1
        before, mark = len(self.text()), f"ended {self.count}:"
        self.type(f"{command}\necho; echo '{mark}'$?")
        printed = self.shows(mark + r"\d+\n", command)[before:]
        # What runs in the background may print on, after the mark.
        text, _, rest = printed.rpartition(mark)
        if rest.split("\n")[0] != "0":
            sys.exit(f"examples: {command}: {text}")
        return text

    def text(self):
        return self.output.read_text()

    def shows(self, pattern, what, count=1):
        until = time.monotonic() + DEADLINE_S
        while len(re.findall(pattern, self.text())) < count:
            if time.monotonic() > until:
                sys.exit(f"examples: {what}: {pattern!r} does not appear: {self.text()[-3000:]}")
            time.sleep(0.05)
        return self.text()

    def end(self):
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()


def headers(folder):
    """The commands of the files' first lines, by file."""
    found = {}
    for file in sorted(folder.glob("*/**/*")):
        if file.suffix in {".mjs", ".py", ".php", ".rs", ".sh", ".html"} and not {"node_modules", ".venv"} & set(file.parts):
            commands = re.findall(r"^(?://!? |# | *)\$ (.*)$", file.read_text(), re.M)
            if commands:
                found[str(file.relative_to(folder))] = commands
    return found


def clients(commands, terminal, other, rust):
    """Each subscriber has what its neighbour publishes."""
    for folder in ("node", "python", "php", "rust", "shell"):
        lines = {pathlib.Path(name).stem: lines for name, lines in commands.items() if name.split("/")[0] == folder}
        (subscribe,), (publish,) = lines["subscribe"], lines["publish"]
        if folder == "rust":
            subscribe, publish = (re.sub(r"cargo run --manifest-path rust/Cargo.toml --bin (\w+)", rf"{rust}/\1", line)
                                  for line in (subscribe, publish))
            assert str(rust) in subscribe and str(rust) in publish
        seen = other.text().count('{"stock": 3}') + other.text().count(r'{\"stock\": 3}')
        other.type(subscribe + " & subscriber=$!")
        until = time.monotonic() + DEADLINE_S
        while seen == other.text().count('{"stock": 3}') + other.text().count(r'{\"stock\": 3}'):
            # Who is not subscribed yet has nothing of it: again.
            if time.monotonic() > until:
                sys.exit(f"examples: {subscribe}: nothing comes: {other.text()[-3000:]}")
            made = terminal.run(publish)
            assert "urn:uuid:" in made, (publish, made)
        other.run("kill $subscriber")


def page(command, terminal, hub_port, web_port):
    """It is there, and the hub lets it read, with its cookie."""
    terminal.type(command + " &")
    origin = f"http://localhost:{web_port}"
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            assert b"EventSource" in urllib.request.urlopen(origin + "/", timeout=5).read()
            break
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until, origin
            time.sleep(0.05)
    request = urllib.request.Request(f"http://localhost:{hub_port}/.well-known/mercure?topic=a", headers={"Origin": origin})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == origin, answer.headers
        assert answer.headers["Access-Control-Allow-Credentials"] == "true", answer.headers


def main():
    binary, rust = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    hub_port, web_port, application_port = free_ports(3)

    def here(command):
        if command.endswith(" petasos"):
            command = command.replace("DEMO=1", f"DEMO=1 ADDR=127.0.0.1:{hub_port}")
        command = command.replace("localhost:3000", f"127.0.0.1:{hub_port}").replace("localhost:8000", f"localhost:{web_port}")
        command = re.sub(r"& sleep (\d+)$", lambda pause: f"& sleep {int(pause[1]) * PAUSE_FACTOR}", command)
        return re.sub(r"\b8001\b", application_port, re.sub(r" 8000$", f" {web_port}", command))

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "clone")
        listed = subprocess.check_output(["git", "ls-files", "examples"], cwd=ROOT, text=True).split("\n")
        for file in filter(None, listed):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
        text = (folder / "examples/README.md").read_text()
        blocks = [re.findall(r"^\$ (.*)$", block, re.M) for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)]
        start, set_up, debian, pair, modern, uses, encryption = [[here(command) for command in block] for block in blocks]
        pathlib.Path(name, "bin").mkdir()
        os.symlink(binary, f"{name}/bin/petasos")
        # Without the environment that this test itself was started with: no activated venv, no token.
        kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "NPM_", "npm_", "HTTP", "http", "SSL_"))}
        search = [part for part in os.environ["PATH"].split(":") if not part.endswith("/venv-clients/bin")]
        path = {**kept, "PATH": ":".join([f"{name}/bin", *search]), "HOME": os.environ["HOME"], "PYTHONUNBUFFERED": "1"}
        hub, terminal, other = terminals = [Terminal(folder, path, name) for name in ("hub", "terminal", "other")]
        try:
            for command in start:
                hub.type(command)
            hub.shows("petasos serves", "the hub")
            for command in set_up:
                terminal.run(command)
            for command in debian:
                if shutil.which("apt-get"):
                    terminal.run(command.replace("sudo apt-get", "apt-get --simulate"))
            for command in set_up[:3] + [". .venv/bin/activate"]:
                other.run(command)
            commands = {file: [here(line) for line in lines] for file, lines in headers(folder / "examples").items()}
            clients(commands, terminal, other, rust)
            for command in pair:
                terminal.run(command)
            terminal.shows(r'data: {"stock": 3}', pair[1])
            for command in modern:
                terminal.run(command)
            # The first subscriber, of 0.x, has this one as well.
            terminal.shows(r'data: {"stock": 3}', modern[-1], 3)
            for file in filter(re.compile("access.token").search, commands):
                (command,) = commands[file]
                made = terminal.run(f'TOKEN="$({command})" {pair[1]}')
                assert "urn:uuid:" in made, (command, made)
            page(*commands["browser/index.html"], other, hub_port, web_port)
            for command in uses:
                assert terminal.run(command).strip(), command
            # As it is pasted, with no other waiting than its own.
            terminal.run("\n".join(encryption))
            terminal.shows(r'\nnow: {"title": "Ulysses"}', "encryption")
            terminal.shows(r'update: {"title": "Dubliners"}', "encryption")
            # The first lines say the same as the README.
            for file in ("encryption/publisher.py", "encryption/subscriber.py"):
                for command in commands[file]:
                    assert command in [re.sub(r" & sleep \d+$", "", line) for line in encryption], command
        finally:
            for shell in terminals:
                shell.end()
    print("examples/README.md and the first lines of the files work as they stand there")


if __name__ == "__main__":
    main()
