#!/usr/bin/env python3
"""The debugger of demo mode, in a browser: what each part of the page does, as somebody does it who clicks and types.

usage: debugger.py BINARY CHROMEDRIVER_URL [FOLDER-FOR-SCREENSHOTS]

Whatever the page's policy refuses, and whatever error reaches the console, fails the test. So does a waiting that takes more
than twenty seconds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import debugger_10
import debugger_faults
from webdriver import DEADLINE_S, Browser, Hub, check

BOOKS = "https://example.com/books/{id}"


def opening(page, hub):
    page.open(hub.url)
    check(page.text("#state"), "not subscribed")
    check(page.value("#hub"), hub.url + ".well-known/mercure")
    unnamed = [label for label in page.labels("input, select, textarea, button, [tabindex='0']") if not label[1].strip()]
    check(unnamed, [])
    page.choose_protocol("older")


def without_a_token_publishing_says_what_to_do(page):
    page.click("#publish-form button[type=submit]")
    page.until_text("#publish-result", "401: There is no token, and this needs one. Build one in the settings.")
    check(page.eval("return document.getElementById('builder').open"), True)


def a_token_is_built(page):
    page.fill("#payload", '{"name": "Zoë"}')
    page.fill("#may-publish", "*\nhttps://example.com/{x}")
    claims = json.loads(page.value("#claims"))
    check(claims["mercure"], {"publish": ["*", "https://example.com/{x}"], "subscribe": ["*"], "payload": {"name": "Zoë"}})
    for algorithm in ("HS512", "HS384", "HS256"):
        page.click(f"#algorithm option:nth-child({('HS256', 'HS384', 'HS512').index(algorithm) + 1})")
        page.click("#builder-form button[type=submit]")
        page.until_text("#token-says", f"{algorithm}, until ")
    check("May receive: *." in page.text("#token-says"), True)
    check('"name": "Zoë"' in page.text("#decoded-claims"), True)
    # What the fields do not know stays, and what is edited by hand is what is signed.
    page.fill("#claims", '{"sub": "somebody", "mercure": {"publish": ["a"]}}')
    check((page.value("#may-publish"), page.value("#may-subscribe"), page.value("#expires")), ("a", "", ""))
    page.fill("#may-publish", "*")
    page.fill("#may-subscribe", "*")
    page.fill("#expires", "10")
    check(json.loads(page.value("#claims"))["sub"], "somebody")
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "Signed.")
    page.fill("#claims", "{")
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "The claims are no JSON")
    page.eval("document.getElementById('builder').open = false")


def subscribe(page, selectors=BOOKS, state="open"):
    page.fill("#selectors", selectors)
    page.click("#subscribe-form button[type=submit]")
    page.until_text("#state", state)


def publish(page, data, **fields):
    for name in ("id", "type", "retry"):
        page.fill(f"#{name}", fields.get(name, ""))
    page.fill("#data", data)
    page.click("#publish-form button[type=submit]")
    page.until("an answer", "return document.getElementById('publish-result').dataset.kind")
    return page.text("#publish-result")


def first(page):
    """The newest update: type, id, data."""
    return page.eval("""
        const item = document.querySelector('#updates li');
        return item && ['.type', '.id', 'pre'].map(part => item.querySelector(part).textContent);
    """)


def until_first(page, wanted):
    page.until(f"the update {wanted}", f"""
        const item = document.querySelector('#updates li');
        return item && JSON.stringify(['.type', '.id', 'pre'].map(part => item.querySelector(part).textContent))
            === JSON.stringify({json.dumps(wanted)});
    """)


def updates_are_shown_as_they_come(page):
    subscribe(page)
    page.eval("document.querySelectorAll('#publish details').forEach(details => { details.open = true; })")
    page.fill("#topics", "https://example.com/books/1\nhttps://example.com/other")
    page.click("#private")
    data = """{"it's": ["a \\"quote\\"", {}, [], 12345678901234567890], "$HOME": "`x` & y"}"""
    check(publish(page, data, id="id 'one'", type="a.type", retry="300"), "Published as id 'one'")
    shown = """{
  "it's": [
    "a \\"quote\\"",
    {},
    [],
    12345678901234567890
  ],
  "$HOME": "`x` & y"
}"""
    until_first(page, ["a.type", "id 'one'", shown])
    check(page.text("#last-id"), "id 'one'")
    # The lines for the terminal and for a program do the same again.
    curl, javascript = (page.text(f"#publish .code pre[aria-label='As {name}']") for name in ("curl", "JavaScript"))
    page.click("#clear")
    for command in (["bash", "-c", curl], ["node", "--input-type=module", "-e", javascript]):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
        check(("id 'one'" in ended.stdout, ended.returncode), (True, 0))
        until_first(page, ["a.type", "id 'one'", shown])
        page.click("#clear")
    page.click("#private")
    check(publish(page, "two\n lines, [no JSON").startswith("Published as urn:uuid:"), True)
    page.until("the update", "return document.querySelector('#updates pre')?.textContent === 'two\\n lines, [no JSON'")
    check(first(page)[0], "message")
    check("\n" not in page.text("#last-id"), True)
    # Without data, and by the keyboard.
    page.fill("#data", "")
    page.type("#topics", "\ue009\ue007")
    page.until("an empty update", "return document.querySelector('#updates pre')?.textContent === 'no data'")
    check(publish(page, "x", retry="soon"), "400: something in the request is not as it must be."
          ' The hub says: Invalid "retry" parameter')


def the_line_for_the_subscription_works(page):
    for name, command in (("curl", ["bash", "-c"]), ("JavaScript", ["node", "--input-type=module", "-e"])):
        text = page.text(f"#subscribe .code pre[aria-label='As {name}']")
        with subprocess.Popen([*command, text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              start_new_session=True) as client:
            check(client.stdout.readline(), ":\n")
            os.killpg(client.pid, signal.SIGKILL)


def the_list_pauses_filters_and_clears(page):
    page.click("#clear")
    page.until_text("#updates-count", "none yet")
    publish(page, "before", id="b1")
    until_first(page, ["message", "b1", "before"])
    page.click("#pause")
    for number in range(3):
        publish(page, f"while paused {number}", id=f"p{number}")
    page.until_text("#updates-count", "paused, 3 waiting")
    check(first(page)[1], "b1")
    page.click("#pause")
    until_first(page, ["message", "p2", "while paused 2"])
    page.fill("#filter", "PAUSED 1")
    page.until_text("#updates-count", "3 filtered out")
    check(page.eval("return [...document.querySelectorAll('#updates li:not([hidden]) pre')].map(pre => pre.textContent)"),
          ["while paused 1"])
    publish(page, "not shown", id="n")
    page.until_text("#updates-count", "4 filtered out")
    page.fill("#filter", "")
    check(page.eval("return document.querySelectorAll('#updates li:not([hidden])').length"), 5)
    page.click("#clear")
    check(page.eval("return document.querySelectorAll('#updates li').length"), 0)


def the_list_is_bounded(page, hub, token):
    for number in range(510):
        hub.publish(token, topic="https://example.com/books/1", id=f"f{number}", data="flood")
    page.until("the last", "return document.querySelector('#updates .id')?.textContent === 'f509'")
    check(page.eval("return document.querySelectorAll('#updates li').length"), 500)
    page.until_text("#updates-count", "10 older ones dropped")
    page.click("#clear")


def a_resource_is_discovered(page, hub):
    page.fill("#resource", hub.url + "demo/books/7.jsonld?body=%7B%22a%22:1%7D")
    page.click("#discover-form button[type=submit]")
    topic = hub.url + "demo/books/7.jsonld?body=%7B%22a%22:1%7D"
    page.until_text("#discover-result", f"Hub and topic are filled in: {hub.url}.well-known/mercure, {topic}")
    check(page.eval("return [...document.querySelectorAll('#links code')].map(code => code.textContent)"),
          ['</.well-known/mercure>; rel="mercure"', f'</{topic.removeprefix(hub.url)}>; rel="self"'])
    check(page.text("#discover-body"), '{\n  "a": 1\n}')
    check((page.value("#selectors"), page.value("#topics")), (topic, topic))
    subscribe(page, topic)
    publish(page, "discovered", id="d")
    until_first(page, ["message", "d", "discovered"])
    page.fill("#resource", hub.url + "healthz")
    page.click("#discover-form button[type=submit]")
    page.until_text("#discover-result", 'No Link header with rel="mercure"')
    page.fill("#topics", "https://example.com/books/1")
    subscribe(page)


def selectors_are_tested(page):
    page.click("#match-form button[type=submit]")
    page.until_text("#match-result", "2 of 3 selected. It is a URI Template.")
    check(page.eval("return [...document.querySelectorAll('#matches li')].map(item => item.className)"), ["yes", "yes", "no"])
    page.fill("#match-selector", "{?" + ",".join(["a"] * 2000) + "}")
    page.click("#match-form button[type=submit]")
    page.until_text("#match-result", "must not be a URI Template of more than 4096 states")
    page.fill("#match-selector", BOOKS)


def tokens_that_do_not_fit_are_explained(page, hub, other_token, expired, powerless):
    right = page.value("#token")
    for token, text in (
        (other_token, "401: the hub does not accept this token: it was not signed with its JWT_KEY"),
        (expired, "401: The token expired at "),
        ("a.b", "401: This is no token"),
    ):
        page.fill("#token", token)
        subscribe(page, state="closed")
        page.until_text("#subscribe-result", text)
        check(text in publish(page, "x"), True)
    page.fill("#token", powerless)
    check("403: either the token's mercure.publish has no selector for every topic" in publish(page, "x"), True)
    page.fill("#token", right)
    page.fill("#selectors", "\n")
    page.click("#subscribe-form button[type=submit]")
    page.fill("#hub", hub.url + "healthz")
    subscribe(page, state="closed")
    page.until_text("#subscribe-result", "answers with text/plain; charset=utf-8, not with events")
    page.fill("#hub", hub.url + "nothing")
    subscribe(page, state="closed")
    page.until_text("#subscribe-result", "404: there is no hub at this URL.")
    page.fill("#hub", hub.url + ".well-known/mercure")


def another_hub_has_to_let_the_page_in(page, hub, other, friend):
    page.fill("#hub", other.url + ".well-known/mercure")
    subscribe(page, state="reconnecting")
    page.until_text("#subscribe-result", "start it with CORS_ALLOWED_ORIGINS=" + hub.url.rstrip("/"))
    page.fill("#hub", friend.url + ".well-known/mercure")
    subscribe(page)
    check(publish(page, "across", id="across origins é"), "Published as across origins é")
    until_first(page, ["message", "across origins é", "across"])
    page.click("#match-form button[type=submit]")
    page.until_text("#match-result", "2 of 3 selected.")
    # An id that no header holds goes into the query.
    friend.kill()
    page.until_text("#state", "reconnecting")
    friend.start()
    page.until_text("#state", "open")
    check("does not know" in page.text("#subscribe-result"), False)
    page.click("#unsubscribe")
    page.until_text("#state", "not subscribed")
    page.fill("#hub", hub.url + ".well-known/mercure")


def a_hub_that_is_killed_comes_back_and_nothing_is_missed(page, hub, token):
    subscribe(page)
    publish(page, "before", id="before", retry="400")
    until_first(page, ["message", "before", "before"])
    hub.kill()
    page.until_text("#state", "reconnecting")
    check(page.text("#last-id"), "before")
    page.until_text("#detail", "in ")
    page.until_text("#subscribe-result", "No answer from " + hub.url.rstrip("/"))
    hub.start()
    for number in range(3):
        hub.publish(token, topic="https://example.com/books/2", id=f"missed{number}", data=str(number))
    page.until_text("#state", "open")
    publish(page, "after", id="after")
    until_first(page, ["message", "after", "after"])
    ids = page.eval("return [...document.querySelectorAll('#updates .id')].slice(0, 5).map(id => id.textContent)")
    check(ids, ["after", "missed2", "missed1", "missed0", "before"])
    # From an id that the hub does not have, everything comes, and the page says so.
    page.fill("#from-id", "never-seen")
    subscribe(page)
    page.until_text("#subscribe-result", "The hub does not know the id never-seen any more and sends all it has.")
    page.fill("#from-id", "")
    subscribe(page)


def a_cookie_does_as_well(page, hub):
    page.click("#clear")
    page.click("input[value=cookie]")
    subscribe(page)
    page.click("#private")
    # The cookie is that of 0.x, with which also the hub's own origin has to be listed.
    origin = hub.url.rstrip("/")
    check(f"start the hub with PUBLISH_ALLOWED_ORIGINS={origin}" in publish(page, "x"), True)
    page.click("input[value=header]")
    publish(page, "for the cookie", id="c")
    until_first(page, ["message", "c", "for the cookie"])
    # Without the cookie, what is private does not come.
    page.click("input[value=cookie]")
    page.click("#forget-cookie")
    page.until_text("#cookie-result", "removed")
    page.click("input[value=header]")
    token = page.value("#token")
    page.click("input[value=cookie]")
    page.fill("#token", "")
    subscribe(page)
    page.fill("#token", token)
    page.click("input[value=header]")
    publish(page, "unseen", id="private")
    page.click("#private")
    publish(page, "seen", id="public")
    until_first(page, ["message", "public", "seen"])
    check(page.eval("return document.querySelectorAll('#updates li')[1].querySelector('.id').textContent"), "c")


def a_hub_that_does_not_tell_who_is_subscribed_is_told_how_to(page):
    page.click("#watch")
    page.until_text("#subscriptions-result", "404: this hub does not tell who is subscribed. Start it with SUBSCRIPTIONS=1.")


def subscriptions_are_watched(page, telling):
    page.open(telling.url)
    page.choose_protocol("older")
    page.click("#watch")
    page.until_text("#subscriptions-result", "401: There is no token, and this needs one.")
    page.eval("document.getElementById('builder').open = true")
    page.fill("#may-subscribe", "https://example.com/{x}")
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "Signed.")
    page.click("#watch")
    page.until_text("#subscriptions-result", "403: the token is valid, but its mercure.subscribe does not select the subscriptions.")
    page.fill("#may-subscribe", "/.well-known/mercure/subscriptions{/topic}{/subscriber}")
    page.fill("#payload", '{"name": "Zoë"}')
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "Signed.")
    subscribe(page)
    page.click("#watch")
    page.until_text("#subscribers", BOOKS)
    check(page.text("#subscribers pre"), '{\n  "name": "Zoë"\n}')
    # Its own subscription, which began behind the list.
    page.until_text("#subscribers", "/.well-known/mercure/subscriptions{/topic}{/subscriber}")
    page.click("#unsubscribe")
    page.until("the end of one", f"return !document.getElementById('subscribers').textContent.includes({json.dumps(BOOKS)})")
    page.until_text("#subscriptions-result", "Watching. 1 now.")
    # A hub that was started again has other subscriptions.
    telling.kill()
    page.until_text("#subscriptions-result", "reconnecting: ")
    telling.start()
    page.until_text("#subscriptions-result", "Watching. 1 now.")
    page.click("#unwatch")


def settings_outlive_the_page_and_the_secret_does_not(page, hub):
    token = page.value("#token")
    page.eval("document.getElementById('builder').open = true")
    page.fill("#secret", "a secret that nobody stores")
    page.open(hub.url)
    check(page.value("#token"), token)
    stored = page.eval("return JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    check(("a secret that" in stored, json.loads(stored)[1:]), (False, [{}, ""]))


def a_hub_that_authorizes_by_targets_has_targets(page, targets):
    page.open(targets.url)
    check(page.text("#older-name"), "2019")
    page.choose_protocol("older")
    check(page.eval("return [document.getElementById('targets').checkVisibility(), document.getElementById('private').checkVisibility()]"),
          [True, False])
    check(page.text("label[for=may-publish]"), "May publish targets, one per line")
    page.eval("document.getElementById('builder').open = true")
    page.fill("#may-subscribe", "https://example.com/users/1")
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "Signed.")
    page.eval("document.querySelectorAll('#publish details').forEach(details => { details.open = true; })")
    subscribe(page)
    for number, target in enumerate(("https://example.com/users/2", "https://example.com/users/1", "")):
        page.fill("#targets", target)
        check(publish(page, "", id=f"t{number}"), f"Published as t{number}")
    until_first(page, ["message", "t2", "no data"])
    check(page.eval("return [...document.querySelectorAll('#updates .id')].map(id => id.textContent)"), ["t2", "t1"])
    page.eval("document.querySelector('#publish .code').open = true")
    page.click("#publish .code button")
    page.until("copied", "return /Copied|Selected/.test(document.querySelector('#publish .code button').textContent)")
    page.click("#unsubscribe")


def what_the_playground_reflects_does_nothing(page, hub):
    for name in ("x.html", "x.svg", "x.xhtml"):
        script = "<svg xmlns='http://www.w3.org/2000/svg'><script>document.title = 'run'; document.cookie = 'run=1'</script></svg>"
        page.open(hub.url + "demo/" + name + "?body=" + script.replace(" ", "%20").replace("'", "%22"))
        check(page.eval("return document.title"), "")
        check(page.eval("return self.origin"), "null")
    page.open(hub.url)
    refused = page.eval_async("""
        const [done] = arguments;
        document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
        const script = document.createElement('script');
        script.onload = () => done('it ran');
        script.src = '/demo/x.js?body=document.title=1';
        document.head.append(script);
    """)
    check(refused, "script-src-elem")
    page.forget_log()


def it_fits_every_screen(page, shots):
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        for width, height, name in ((320, 640, "small"), (390, 844, "phone"), (820, 1180, "tablet"), (1440, 900, "desktop")):
            page.viewport(width, height)
            wide = page.eval("return document.documentElement.scrollWidth")
            check((name, wide <= width), (name, True))
            faint = page.eval(CONTRAST)
            check(faint, [])
            if shots:
                page.screenshot(os.path.join(shots, f"{name}-{scheme}.png"))
    page.viewport(1440, 900)
    page.scheme("light")


CONTRAST = """
const channel = value => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parts = color => color.match(/[\\d.]+/g).map(Number);
const background = element => {
    for (let at = element; at; at = at.parentElement) {
        const color = parts(getComputedStyle(at).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const field = element.matches('input, textarea, select');
    if (!(own || field) || element.disabled || !element.checkVisibility() || element.matches('script, style')) continue;
    const [a, b] = [parts(getComputedStyle(element).color), background(element)].map(luminance).sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(element.outerHTML.slice(0, 80));
}
return faint;
"""


def main():
    binary, driver = sys.argv[1:3]
    shots = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder, Browser(driver) as page:
        hub = Hub(binary, DB_PATH=os.path.join(folder, "hub.db"))
        other = Hub(binary, DB_PATH=":memory:")
        friend = Hub(binary, DB_PATH=os.path.join(folder, "friend.db"), CORS_ALLOWED_ORIGINS=hub.url.rstrip("/"))
        targets = Hub(binary, DB_PATH=":memory:", AUTHORIZATION="targets")
        telling = Hub(binary, DB_PATH=":memory:", SUBSCRIPTIONS="1")
        only10 = Hub(binary, DB_PATH=":memory:", PROTOCOL="08")
        older = Hub(binary, DB_PATH=":memory:", PROTOCOL="07")
        began = time.monotonic()
        try:
            flows(page, hub, other, friend, targets, telling, shots)
            debugger_10.all_of_it(page, telling, only10, older, targets)
            page.check_log()
            it_fits_every_screen(page, None)
        finally:
            for each in (hub, other, friend, targets, telling, only10, older):
                each.kill()
        print(f"the debugger's parts do what they say, in 0.x and in 1.0 ({time.monotonic() - began:.0f} s)")


def faults(page, hub, targets, telling, token):
    page.open(hub.url)
    page.fill("#token", token)
    debugger_faults.a_retry_never_floods_the_hub(page)
    debugger_faults.no_update_stops_the_list(page, hub, token)
    debugger_faults.a_stream_keeps_the_token_it_was_started_with(page)
    debugger_faults.no_token_goes_to_a_hub_that_a_resource_names(page, hub)
    debugger_faults.a_discovered_topic_is_what_the_resource_says_byte_for_byte(page, hub)
    debugger_faults.a_hub_url_that_cannot_work_is_told_from_one_that_does_not_answer(page, hub)
    debugger_faults.curl_takes_no_url_for_a_pattern(page, hub, token)
    debugger_faults.a_list_that_comes_after_stop_is_not_shown(page, hub)
    debugger_faults.a_list_of_what_was_discarded_is_asked_for_again(page, hub)
    debugger_faults.what_answers_with_something_else_is_no_hub(page, hub)
    debugger_faults.a_claim_of_another_shape_is_named(page, hub)
    debugger_faults.what_is_jumped_to_is_below_the_head(page, hub)
    debugger_faults.a_hub_that_authorizes_by_targets_is_explained(page, targets)


def flows(page, hub, other, friend, targets, telling, shots):
    token = hub.token("--publish", "*", "--subscribe", "*")
    opening(page, hub)
    without_a_token_publishing_says_what_to_do(page)
    a_token_is_built(page)
    updates_are_shown_as_they_come(page)
    the_line_for_the_subscription_works(page)
    the_list_pauses_filters_and_clears(page)
    the_list_is_bounded(page, hub, token)
    a_resource_is_discovered(page, hub)
    selectors_are_tested(page)
    tokens_that_do_not_fit_are_explained(
        page, hub, hub.token("--publish", "*", "--subscribe", "*", "--key", "another secret, which is as long as a hash"),
        hub.signed({"exp": 1, "mercure": {"publish": ["*"]}}), hub.token("--subscribe", "*"))
    another_hub_has_to_let_the_page_in(page, hub, other, friend)
    a_hub_that_is_killed_comes_back_and_nothing_is_missed(page, hub, token)
    a_cookie_does_as_well(page, hub)
    a_hub_that_does_not_tell_who_is_subscribed_is_told_how_to(page)
    it_fits_every_screen(page, shots)
    settings_outlive_the_page_and_the_secret_does_not(page, hub)
    a_hub_that_authorizes_by_targets_has_targets(page, targets)
    subscriptions_are_watched(page, telling)
    page.check_log()
    faults(page, hub, targets, telling, token)
    page.check_log()
    what_the_playground_reflects_does_nothing(page, hub)
    page.check_log()


main()
