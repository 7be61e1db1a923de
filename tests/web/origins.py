#!/usr/bin/env python3
"""Chromium, from pages of another origin than the hub's: CORS, the cookie, a hub that is killed, and the page of examples/browser.

usage: origins.py BINARY CHROMEDRIVER_URL
"""

import functools
import http.server
import pathlib
import sys
import tempfile
import threading
import urllib.parse

from chromium import browser

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))
from killed import Hub, await_until, shapes  # noqa: E402 it is not in this folder

SELECTORS = ["https://example.com/clients/{id}", "a raw topic: é, & and +"]

LISTEN = """
const [url, topics, withCredentials] = given;
const hub = new URL(url);
for (const topic of topics) hub.searchParams.append('topic', topic);
const source = window.source = new EventSource(hub, {withCredentials});
const events = window.events = [];
for (const name of ['message', 'kind']) {
    source.addEventListener(name, ({lastEventId, type, data}) => events.push({id: lastEventId, type, data}));
}
return await new Promise(resolve => {
    source.onopen = () => resolve('open');
    source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'refused' : 'broken');
});
"""

PUBLISH = """
const [url, token, credentials] = given;
const headers = token ? {Authorization: 'Bearer ' + token} : {};
const body = new URLSearchParams({topic: 'https://example.com/clients/2', data: 'by fetch'});
const response = await fetch(url, {method: 'POST', headers, body, credentials});
return response.status;
"""


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {str(got)[:3000]}, not {str(wanted)[:3000]}")


def events(page, count):
    await_until(f"{count} events", lambda: page.run("return window.events.length") >= count)
    return page.run("return window.events")


def credentials(hub, page, origin, stranger):
    """Who is let in, and who gets private updates."""
    page.open(stranger)
    check("a page of an origin that is not listed", page.run(LISTEN, hub.url, SELECTORS, False), "refused")
    page.open(origin)
    page.set_cookie("mercureAuthorization", hub.token)
    check("without credentials", page.run(LISTEN, hub.url, SELECTORS, False), "open")
    hub.publish("secret", private="on")
    hub.publish("public")
    check("without credentials", events(page, 1), hub.published[1:])
    page.run("window.source.close()")
    check("with credentials", page.run(LISTEN, hub.url, SELECTORS, True), "open")
    first = len(hub.published)
    hub.publish("secret again", private="on")
    check("with credentials", events(page, 1), hub.published[first:])
    check("a publication with a token", page.run(PUBLISH, hub.url, hub.token, "omit"), 200)
    check("a publication with the cookie", page.run(PUBLISH, hub.url, None, "include"), 200)
    check("a publication of nobody", page.run(PUBLISH, hub.url, None, "omit"), 401)
    check("publications by fetch", [event["data"] for event in events(page, 3)[1:]], ["by fetch", "by fetch"])
    told = "return (await fetch(given[0], {headers: {'Last-Event-ID': 'earliest'}})).headers.get('Last-Event-ID')"
    check("the exposed header", page.run(told, hub.url + "?topic=nothing"), "earliest")
    page.run("window.source.close()")


def killed(hub, page, origin):
    """The browser comes back by itself, with an id that is not ASCII, and misses and repeats nothing."""
    page.open(origin)
    first = len(hub.published)
    check("with credentials", page.run(LISTEN, hub.url, SELECTORS, True), "open")
    shapes(hub)
    hub.publish("", private="on")
    for kill in ("first", "second"):
        hub.publish("an id that is not ASCII", id=f"urn:żółć/{kill}?a=b&c#d")
        # A browser keeps what it has received of a broken stream, but not the part of an event.
        events(page, len(hub.published) - first)
        hub.kill()
        hub.start()
        hub.publish(f"before the browser is back from the {kill} kill")
    check("after two kills", events(page, len(hub.published) - first), hub.published[first:])
    page.run("window.source.close()")


def example(hub, page, origin, protocol):
    """examples/browser, from the form to the list."""
    page.open(f"{origin}?hub={urllib.parse.quote(hub.url)}&protocol={protocol}")
    script = """
    const until = async (what, holds) => {
        const start = Date.now();
        while (!holds()) {
            if (Date.now() - start > 15000) throw new Error(what + ': ' + document.body.innerText);
            await new Promise(resolve => setTimeout(resolve, 20));
        }
    };
    const form = document.getElementById('publish');
    await until('open', () => document.getElementById('state').textContent === 'open');
    form.elements.token.value = given[0];
    form.elements.title.value = 'Ulysses';
    form.querySelector('button').click();
    await until('published', () => form.elements.result.value === 'published');
    await until('the update', () => document.querySelector('li'));
    return document.querySelector('li').textContent;
    """
    check("the page of examples/browser", page.run(script, hub.token), "Ulysses")


def main():
    binary, driver = sys.argv[1:]
    handler = functools.partial(Pages, directory=HERE.parent.parent / "examples" / "browser")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The same site as the hub's, whose cookie it is, and another origin, for its port is another.
    origin, stranger = (f"http://{host}:{server.server_port}" for host in ("localhost", "127.0.0.1"))
    with tempfile.TemporaryDirectory() as folder, browser(driver) as page:
        hub = Hub(binary, folder, CORS_ALLOWED_ORIGINS=origin, PUBLISH_ALLOWED_ORIGINS=origin, ALLOW_ANONYMOUS="1")
        hub.url = hub.url.replace("127.0.0.1", "localhost")
        try:
            hub.start()
            credentials(hub, page, origin + "/", stranger + "/")
            killed(hub, page, origin + "/")
            for protocol in ("0.x", "1.0"):
                example(hub, page, origin + "/", protocol)
        finally:
            hub.kill()
    print("a browser across origins, with the cookie, and with a hub that is killed twice")


main()
