"""npm's @symfony/ux-turbo in Chromium: its element <turbo-mercure-stream-source>, by both protocols on one page.

`src` is a URL as Symfony's `mercure()` makes it. Each update is private, and changes the page; the cookie of each
protocol grants the topics of that protocol's source only.

usage: turbo.py BINARY CHROMEDRIVER_URL
"""

import functools
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "web"))
from chromium import browser  # noqa: E402 it is not in this folder

HUB, TOKEN, ACCESS, COOKIE = (os.environ[name] for name in ("HUB", "TOKEN", "ACCESS", "COOKIE"))
# The hub allows this origin.
PAGES = os.environ["PAGES"]
ISSUER_KEY = os.environ["ISSUER_KEY"]
TOPIC = "https://example.com/turbo"
PAGE = b"""<!doctype html><meta charset="utf-8"><title>Turbo</title><ul id="books"></ul>
<script type="importmap">{"imports": {"@hotwired/turbo": "/@hotwired/turbo/dist/turbo.es2017-esm.js"}}</script>
<script type="module" src="/@symfony/ux-turbo/dist/mercure_stream_source_element.js"></script>
"""
CONNECT = """
const sources = given[0].map((src) => {
    const source = document.createElement('turbo-mercure-stream-source');
    source.setAttribute('src', src);
    source.setAttribute('private', '');
    document.body.append(source);
    return source;
});
for (const end = Date.now() + 15000; !sources.every((source) => source.hasAttribute('connected'));) {
    if (Date.now() > end) throw new Error('not connected: ' + sources.map((source) => source.outerHTML).join());
    await new Promise((resolve) => setTimeout(resolve, 20));
}
"""
LINES = """
const items = () => [...document.querySelectorAll('#books li')].map((item) => item.textContent).sort();
for (const end = Date.now() + 15000; items().length < given[0] && Date.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
}
return items();
"""


class Pages(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def publish(topic, text, token):
    data = f'<turbo-stream action="append" target="books"><template><li>{text}</li></template></turbo-stream>'
    form = urllib.parse.urlencode({"topic": topic, "data": data, "private": "on"}).encode()
    request = urllib.request.Request(HUB, form, {"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200, answer.status


def source(**parameters):
    query = [f"{name}={urllib.parse.quote(value, safe='')}" for name, value in parameters.items()]
    return f"{HUB}?{'&'.join(query)}"


def token(*options):
    return subprocess.check_output([sys.argv[1], "token", *options], text=True, stderr=subprocess.DEVNULL).strip()


def main():
    handler = functools.partial(Pages, directory=HERE / "node_modules")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", urllib.parse.urlsplit(PAGES).port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    of_old = token("--subscribe", f"{TOPIC}/old/{{id}}")
    of_new = token("--audience", HUB, "--key", ISSUER_KEY, "--subscribe-match", f"{TOPIC}/named", "--subscribe-pattern", f"{TOPIC}/new/:id")
    with browser(sys.argv[2]) as page:
        page.open(PAGES + "/")
        page.set_cookie("mercureAuthorization", of_old)
        page.set_cookie(COOKIE, of_new)
        old = source(topic=f"{TOPIC}/old/{{id}}")
        modern = source(match=f"{TOPIC}/named", match_urlpattern=f"{TOPIC}/new/:id")
        page.run(CONNECT, [old, modern])
        publish(f"{TOPIC}/old/1", "0.x to 0.x", TOKEN)
        publish(f"{TOPIC}/old/2", "1.0 to 0.x", ACCESS)
        publish(f"{TOPIC}/new/1", "0.x to 1.0", TOKEN)
        publish(f"{TOPIC}/named", "1.0 to 1.0", ACCESS)
        wanted = ["0.x to 0.x", "0.x to 1.0", "1.0 to 0.x", "1.0 to 1.0"]
        got = page.run(LINES, len(wanted))
        assert got == wanted, got
    print("@symfony/ux-turbo: passed")


main()
