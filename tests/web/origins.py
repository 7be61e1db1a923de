#!/usr/bin/env python3
"""Chromium, from pages of another origin than the hub's: CORS, the cookie of 0.x and of 1.0, a hub that is killed, and the page of
examples/browser.

usage: origins.py BINARY CHROMEDRIVER_URL
"""

import functools
import http.server
import json
import pathlib
import subprocess
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
    """The application: its pages, and at /login a cookie for the hub, as an application sets it (MERCURE-1.0, section 5.1)."""

    def do_GET(self):
        asked = urllib.parse.urlsplit(self.path)
        if asked.path != "/login":
            return super().do_GET()
        cookie = dict(urllib.parse.parse_qsl(asked.query))["cookie"]
        self.send_response(204)
        self.send_header("Set-Cookie", f"{cookie}; Path=/.well-known/mercure; HttpOnly; SameSite=Strict")
        self.end_headers()

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


LOGIN = "return (await fetch('/login?cookie=' + encodeURIComponent(given[0]))).status"

LISTEN_10 = """
const [url, matchers, withCredentials] = given;
const hub = new URL(url);
for (const [name, text] of matchers) hub.searchParams.append(name, text);
const source = window.source = new EventSource(hub, {withCredentials});
const events = window.events = [];
for (const name of ['message', 'mercure']) source.addEventListener(name, ({type, data}) => events.push([type, data]));
return await new Promise(resolve => {
    source.onopen = () => resolve('open');
    source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'refused' : 'broken');
});
"""


def cookie_of_10(hub, page, origin, stranger):
    """A page of an allowed origin gets a cookie with a token of 1.0, by which private updates come, and without which they do not."""
    name, presence = "mercure_access_token", "/.well-known/mercure/subscriptions/:match_type/:match/:subscriber"
    matchers = [["match_urlpattern", "https://example.com/clients/:id"], ["match_urlpattern", presence]]

    def access(*arguments):
        environment = {"DEMO": "1", "ADDR": f"127.0.0.1:{hub.port}"}
        return subprocess.check_output([hub.binary, "token", *arguments], env=environment, text=True).strip()

    def received():
        return [data for type, data in page.run("return window.events") if type == "message"]

    def await_received(what, data):
        await_until(what, lambda: received()[-1:] == [data])

    def login(token):
        check("the cookie", page.run(LOGIN, f"{name}={token}"), 204)

    page.open(origin)
    page.delete_cookies()
    login(access("--subscribe-pattern", matchers[0][1], "--subscribe-pattern", presence, "--payload", '{"user": "ada"}'))
    check("the page itself", page.run("return document.cookie"), "")
    check("1.0, with credentials", page.run(LISTEN_10, hub.url, matchers, True), "open")
    hub.publish("for her", private="on")
    await_received("a private update, with the cookie", "for her")
    # Presence: an event of its own type, with what the token says of the subscriber.
    await_until("the event of its subscription", lambda: any(
        type == "mercure" and json.loads(data).get("payload") == {"user": "ada"} for type, data in page.run("return window.events")))
    check("a publication that the token does not grant", page.run(PUBLISH, hub.url, None, "include"), 403)
    hub.publish("the end")
    await_received("a public update", "the end")
    check("1.0, with the cookie", received(), ["for her", "the end"])
    page.run("window.source.close()")
    for what, token, credentials in (("without credentials", None, False),
                                     ("with a cookie that grants something else", access("--subscribe-match", "else"), True)):
        if token:
            login(token)
        check(f"1.0, {what}", page.run(LISTEN_10, hub.url, matchers, credentials), "open")
        hub.publish("secret", private="on")
        hub.publish(what)
        await_received(f"a public update, {what}", what)
        check(f"1.0, {what}", received(), [what])
        page.run("window.source.close()")
    # An invalid one is refused, though anonymous subscribers are allowed, and though there is a valid one of 0.x.
    page.set_cookie("mercureAuthorization", hub.token)
    login(access("--subscribe-match", "*", "--issuer", "https://elsewhere.example", "--key", "a key of another issuer, not known"))
    check("1.0, with a token of another issuer", page.run(LISTEN_10, hub.url, matchers, True), "refused")
    challenge = "return (await fetch(given[0] + '?match=a', {credentials: 'include'})).headers.get('WWW-Authenticate')"
    check("the challenge", page.run(challenge, hub.url).startswith('Bearer error="invalid_token", resource_metadata="'), True)
    login(access("--publish-match", "*", "--subscribe-match", "*"))
    check("a publication with the cookie", page.run(PUBLISH, hub.url, None, "include"), 200)
    page.open(stranger)
    check("a page of an origin that is not listed", page.run(LISTEN_10, hub.url, matchers, True), "refused")
    page.open(origin)
    check("no cookie", page.run(LOGIN, f"{name}=; Max-Age=0"), 204)
    page.delete_cookies()


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
            cookie_of_10(hub, page, origin + "/", stranger + "/")
            page.set_cookie("mercureAuthorization", hub.token)
            killed(hub, page, origin + "/")
            for protocol in ("0.x", "1.0"):
                example(hub, page, origin + "/", protocol)
        finally:
            hub.kill()
    print("a browser across origins, with the cookie, and with a hub that is killed twice")


main()
