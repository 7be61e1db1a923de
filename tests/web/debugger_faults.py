"""What the debugger makes of hubs, updates and tokens that are not as they should be: one function per failure that it prevents."""

import json
import subprocess
import threading

from stub import Stub
from webdriver import DEADLINE_S, check

HUB = "/.well-known/mercure"
LIST = HUB + "/subscriptions"


def at(page, hub, selectors="a"):
    """The page at this hub, with a selector filled in."""
    page.fill("#hub", hub.url.rstrip("/") + HUB)
    page.fill("#selectors", selectors)


def subscribe(page, state):
    page.click("#subscribe-form button[type=submit]")
    page.until_text("#state", state)


def stop(page):
    page.click("#unsubscribe")
    page.until_text("#state", "not subscribed")


def a_retry_never_floods_the_hub(page):
    def once(retry):
        def answer(asked):
            if asked is stub.asked[0]:
                asked.stream(f"retry: {retry}\ndata: x\n\n")
            else:
                asked.answer("no", 503)
        return answer

    with Stub({HUB: once("0")}) as stub:
        at(page, stub)
        subscribe(page, "reconnecting")
        times = [asked.at_s for asked in stub.until_asked(3, HUB)]
        gaps_s = [later - earlier for earlier, later in zip(times, times[1:])]
        check([gaps_s[0] > 0.4, gaps_s[1] > 0.9], [True, True])
        stop(page)
    for retry in ("2147483648", "9" * 400):
        with Stub({HUB: once(retry)}) as stub:
            at(page, stub)
            subscribe(page, "reconnecting")
            page.until_text("#detail", "in 3600 s")
            check(len(stub.asked), 1)
            stop(page)
    for after, seconds in (("99999999", "3600"), ("-5", "2"), ("120", "120")):
        with Stub({HUB: lambda asked: asked.answer(
                "full", 503, Retry_After=after, Access_Control_Expose_Headers="Retry-After")}) as stub:
            at(page, stub)
            subscribe(page, "reconnecting")
            page.until_text("#detail", f"in {seconds} s")
            stop(page)


def no_update_stops_the_list(page, hub, token):
    def publish(data, id):
        hub.publish(token, topic="https://example.com/deep", id=id, data=data)
        page.until(f"the update {id}", f"return document.querySelector('#updates .id')?.textContent === '{id}'")

    def shown():
        return page.text("#updates pre")

    at(page, hub, "https://example.com/deep")
    subscribe(page, "open")
    page.click("#clear")
    publish("[" * 20_000 + "]" * 20_000, "deep")
    check(shown(), "[" * 20_000 + "\n… 20000 more characters")
    publish("[" * 40 + "1" + "]" * 40, "deeper than is indented")
    check(shown(), "[" * 40 + "1" + "]" * 40)
    wide = "[" * 30 + "1,\n" * 20_000 + "1" + "]" * 30
    publish(wide, "wide")
    check(shown(), wide[:20_000] + f"\n… {len(wide) - 20_000} more characters")
    publish("[[1]]", "flat")
    check(shown(), "[\n  [\n    1\n  ]\n]")
    # Whatever else an update breaks, the next one is shown.
    page.eval("""
        const right = Date.prototype.toISOString;
        Date.prototype.toISOString = () => { Date.prototype.toISOString = right; throw new Error('for once'); };
    """)
    hub.publish(token, topic="https://example.com/deep", data="breaks")
    page.until_text("#updates", "an update that this page cannot show")
    page.forget_log()
    publish("after", "after")
    # What is sought is sought in what is shown: type, id, and data.
    for wanted, count in (("AFTER", 1), ("message", 5), ("wide", 1), ("\ufffd", 0), ("", 6)):
        page.fill("#filter", wanted)
        check((wanted, page.eval("return document.querySelectorAll('#updates li:not([hidden])').length")), (wanted, count))
    page.click("#clear")
    stop(page)


def a_stream_keeps_the_token_it_was_started_with(page):
    def stream(asked):
        if asked is stub.until_asked(1, HUB)[0]:
            asked.stream("retry: 500\ndata: x\n\n")
            changed.wait(DEADLINE_S)
        else:
            asked.stream()
            asked.until_left()

    def subscriptions(asked):
        asked.answer('{"subscriptions": [], "lastEventID": "earliest"}', Content_Type="application/ld+json")

    for button in ("#subscribe-form button[type=submit]", "#watch"):
        changed = threading.Event()
        with Stub({HUB: stream, LIST: subscriptions}) as stub:
            at(page, stub)
            page.fill("#token", "token.of.A")
            page.click(button)
            stub.until_asked(1, HUB)
            page.fill("#hub", "https://hub-b.example/.well-known/mercure")
            page.fill("#token", "token.of.B")
            changed.set()
            stub.until_asked(2, HUB)
            check({asked.headers["Authorization"] for asked in stub.asked}, {"Bearer token.of.A"})
            page.click("#unsubscribe" if button != "#watch" else "#unwatch")
            page.until("its end", "return ['unsubscribe', 'unwatch'].every(id => document.getElementById(id).disabled)")


def discover(page, url):
    page.fill("#resource", url)
    page.click("#discover-form button[type=submit]")
    page.until("an answer", "return document.getElementById('discover-result').dataset.kind")
    return page.text("#discover-result")


def publish(page):
    page.click("#publish-form button[type=submit]")
    page.until("an answer", "return document.getElementById('publish-result').dataset.kind")
    return page.text("#publish-result")


def no_token_goes_to_a_hub_that_a_resource_names(page, hub):
    def resource(asked):
        asked.answer(Link=f'<{HUB}>; rel="mercure"')

    token = "token.of.this-hub"
    with Stub({"/resource": resource, HUB: lambda asked: asked.answer("an-id")}) as stub:
        at(page, hub)
        page.fill("#token", token)
        said = discover(page, stub.url + "resource")
        check("so the token is set aside: see the settings." in said, True)
        check((page.value("#hub"), page.value("#token")), (stub.url.rstrip("/") + HUB, ""))
        check(publish(page), "Published as an-id")
        check(stub.asked[-1].headers["Authorization"], None)
        # The same origin again changes nothing, and the token may be sent there if somebody wants it.
        check("set aside" in discover(page, stub.url + "resource"), False)
        check(page.text("#use-aside"), "Send the token that was set aside to " + stub.url.rstrip("/"))
        page.click("#use-aside")
        check((page.value("#token"), page.eval("return document.getElementById('use-aside').hidden")), (token, True))
        publish(page)
        check(stub.asked[-1].headers["Authorization"], "Bearer " + token)
        check("set aside" in discover(page, stub.url + "resource"), False)
        check(page.value("#token"), token)
        # A cookie would go to another port of the same host.
        at(page, hub)
        page.click("input[value=cookie]")
        page.fill("#token", "")
        check("The token goes into the header now" in discover(page, stub.url + "resource"), True)
        check(page.eval("return document.querySelector('input[name=carrier]:checked').value"), "header")
        publish(page)
        check(stub.asked[-1].headers["Cookie"], None)
    at(page, hub)


def a_discovered_topic_is_what_the_resource_says_byte_for_byte(page, hub):
    name = "demo/a%20b.txt?x=a%20b&y=%7e"
    for asked, topic in (
        (name, name),
        (name + "&jwt=q.w.e", name),
        ("demo/a?jwt=q.w.e&x=%7e+%20", "demo/a?x=%7e+%20"),
        ("demo/a?%6Awt=q.w.e", "demo/a"),
        ("demo/a?jwtx=1&x=jwt", "demo/a?jwtx=1&x=jwt"),
    ):
        discover(page, hub.url + asked)
        check(page.value("#topics"), hub.url + topic)
    links = '<https://EXAMPLE.com/a/../%7eb?jwt=q.w.e#c>; rel="self", </hub>; rel=mercure'
    with Stub({"/resource": lambda asked: asked.answer(Link=links)}) as stub:
        discover(page, stub.url + "resource")
        check((page.value("#topics"), page.value("#hub")), ("https://EXAMPLE.com/a/../%7eb#c", stub.url + "hub"))
    at(page, hub)


def a_hub_url_that_cannot_work_is_told_from_one_that_does_not_answer(page, hub):
    wrong = "The hub URL in the settings has to be an http or https URL, without user and password."
    for url in ("mailto:x", "javascript:void(0)", hub.url.replace("://", "://user:pw@") + "hub", "nonsense", "http://"):
        page.fill("#hub", url)
        for button, result in (("#publish-form button[type=submit]", "#publish-result"), ("#watch", "#subscriptions-result"),
                               ("#subscribe-form button[type=submit]", "#subscribe-result"),
                               ("#match-form button[type=submit]", "#match-result")):
            page.click(button)
            page.until_text(result, wrong)
    check(discover(page, "mailto:x"), "What is asked has to be an http or https URL, without user and password.")
    with Stub({"/resource": lambda asked: asked.answer(Link='<mailto:x>; rel="mercure"')}) as stub:
        said = discover(page, stub.url + "resource")
        check("The hub that this resource names (mailto:x) has to be an http or https URL" in said, True)
    at(page, hub)


def shown_curl(page, section):
    return page.text(f"#{section} .code pre[aria-label='As curl']")


def curl_takes_no_url_for_a_pattern(page, hub, token):
    pattern = "?x={a,b}&y=[1-2]"
    at(page, hub)
    page.fill("#token", token)
    discover(page, hub.url + "demo/a%20b" + pattern + "&body=it's")
    page.fill("#hub", hub.url.rstrip("/") + HUB + pattern)
    check(publish(page)[:13], "Published as ")
    for button in ("#watch", "#match-form button[type=submit]", "#subscribe-form button[type=submit]"):
        page.click(button)
    page.until_text("#state", "open")
    stop(page)
    # The address behind the pattern answers all of them; the answer is in the body or in the status.
    for section, wanted in (("discover", "it's"), ("publish", "urn:uuid:"), ("subscriptions", "Not Found"), ("match", '"kind"'),
                            ("subscribe", ":\n")):
        command = shown_curl(page, section).replace("curl ", "timeout 1 curl -sS ", 1)
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=DEADLINE_S)
        check((section, ended.stdout.count(wanted) == 1, ended.stderr), (section, True, ""))
    at(page, hub)


def a_list_that_comes_after_stop_is_not_shown(page, hub):
    left = threading.Event()

    def slow(asked):
        asked.answer(Content_Type="application/ld+json")
        if asked.until_left():
            left.set()
        asked.send('{"subscriptions": [{"id": "x", "topic": "x"}], "lastEventID": "earliest"}')

    with Stub({LIST: slow}) as stub:
        at(page, stub)
        page.click("#watch")
        stub.until_asked(1, LIST)
        page.click("#unwatch")
        check(left.wait(DEADLINE_S), True)
        check((page.text("#subscriptions-result"), page.text("#subscribers")), ("", ""))
    at(page, hub)


def a_list_of_what_was_discarded_is_asked_for_again(page, hub):
    def listed(asked):
        asked.answer('{"subscriptions": [], "lastEventID": "x"}', Content_Type="application/ld+json")

    def stream(asked):
        is_known = asked is not stub.until_asked(1, HUB)[0]
        # What is no subscription changes nothing.
        asked.stream("data: null\n\ndata: [\n\n", Last_Event_ID="x" if is_known else "earliest")
        if asked.until_left() and not is_known:
            left.set()

    left = threading.Event()
    with Stub({LIST: listed, HUB: stream}) as stub:
        at(page, stub)
        page.click("#watch")
        page.until_text("#subscriptions-result", "reconnecting: the hub has discarded what came after the list")
        check(left.wait(DEADLINE_S), True)
        stub.until_asked(2, LIST)
        page.until_text("#subscriptions-result", "Watching. 0 now.")
        page.click("#unwatch")
        check({asked.headers["Last-Event-ID"] for asked in stub.until_asked(2, HUB)}, {"x"})
    at(page, hub)


def what_answers_with_something_else_is_no_hub(page, hub):
    def web_page(asked):
        asked.answer("<!doctype html>", Content_Type="text/html")

    def wrong_json(asked):
        asked.answer("[]", Content_Type="application/json")

    for answer, says in ((web_page, "This URL answers with text/html, "), (wrong_json, "This URL answers with application/json, ")):
        with Stub({HUB: answer, LIST: answer, HUB + "/match": answer}) as stub:
            at(page, stub)
            subscribe(page, "closed")
            page.until_text("#subscribe-result", says)
            check(publish(page).startswith(says), True)
            for button, result in (("#watch", "#subscriptions-result"), ("#match-form button[type=submit]", "#match-result")):
                page.click(button)
                page.until_text(result, says)
                check(page.eval(f"return document.querySelector('{result}').dataset.kind"), "bad")
    page.fill("#hub", hub.url + "nothing")
    for button, result in (("#watch", "#subscriptions-result"), ("#match-form button[type=submit]", "#match-result")):
        page.click(button)
        page.until_text(result, "404: there is no hub at this URL.")
    at(page, hub)


def a_claim_of_another_shape_is_named(page, hub):
    right = page.value("#token")
    for claims, status, says in (
        ({"mercure": {"publish": "*"}}, 401, '"publish" in the claim "mercure" of the token has to be a list of texts, such as ["*"].'),
        ({"mercure": {"subscribe": [1]}}, 401, '"subscribe" in the claim "mercure" of the token has to be a list of texts'),
        (None, 401, "This is no token"),
        ({"mercure": ["*"]}, 401, 'The claim "mercure" of the token has to be an object.'),
        ({"mercure": {"publish": ["*"]}, "exp": "soon"}, 401, '"exp" of the token has to be a number of seconds.'),
        ({"mercure": {"publish": ["*"]}, "https://mercure.rocks/": None}, 403, 'The token has no claim "mercure"'),
    ):
        # What has no object for a header, or for claims, is none.
        page.fill("#token", hub.signed(claims) if claims else "bnVsbA.eyJtZXJjdXJlIjp7fX0.x")
        check(says in page.text("#token-says"), True)
        said = publish(page)
        # The hub refuses it as well, and the page says why.
        check((said[:4], status == 403 or says in said), (f"{status}:", True))
    page.fill("#token", right)


def a_hub_that_authorizes_by_targets_is_explained(page, targets):
    page.open(targets.url)
    page.eval("document.getElementById('builder').open = true")
    page.fill("#claims", '{"mercure": {"publish": []}}')
    # A field that is changed leaves the empty list as it is.
    page.fill("#expires", "10")
    check(json.loads(page.value("#claims"))["mercure"], {"publish": []})
    page.click("#builder-form button[type=submit]")
    page.until_text("#token-says", "May publish: for all. May receive: nothing.")
    page.fill("#topics", "https://example.com/1")
    check(publish(page).startswith("Published as "), True)
    page.fill("#topics", "/.well-known/mercure/x")
    refusal = publish(page)
    check(refusal.startswith("400: "), True)
    check("Forbidden \"topic\" parameter: it is in the hub's own namespace" in refusal, True)
    page.fill("#topics", "https://example.com/1")
    page.fill("#targets", "a")
    check("does not list every target" in publish(page), True)
    page.fill("#targets", "")
    page.click("#watch")
    page.until_text("#subscriptions-result", "404: this hub does not tell who is subscribed: it authorizes by targets")
    page.fill("#claims", '{"mercure": {}}')
    page.fill("#expires", "20")
    check(json.loads(page.value("#claims"))["mercure"], {})
    page.fill("#may-publish", "a")
    page.click("#builder-form button[type=submit]")
    page.until_text("#token-says", "May publish: for a, for all.")


def what_is_jumped_to_is_below_the_head(page, hub):
    at(page, hub)
    subscribe(page, "open")
    for width, height in ((360, 740), (1440, 900)):
        page.viewport(width, height)
        # Just below it, unless the page ends before.
        page.until("the section below the head", """
            location.hash = '';
            location.hash = '#publish';
            const below = document.getElementById('publish').getBoundingClientRect().top - document.querySelector('header').offsetHeight;
            const isAtEnd = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
            return below >= 0 && (below < 60 || isAtEnd);
        """)
    page.viewport(390, 844)
    check(page.eval("return getComputedStyle(document.getElementById('topics')).fontSize"), "16px")
    page.viewport(1440, 900)
    page.eval("location.hash = ''")
    stop(page)
