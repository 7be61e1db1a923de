"""The debugger, speaking Mercure 1.0: matchers, entries of a token, presence, what is refused, and hubs that speak something else."""

import base64
import json
import os
import signal
import subprocess

from stub import METADATA, Stub
from webdriver import DEADLINE_S, check

HUB = "/.well-known/mercure"
LIST = HUB + "/subscriptions"
DETAIL = "https://mercure.rocks/authorization-detail"
BOOK, BOOKS = "https://example.com/books/1", "https://example.com/books/:id"


def shown(page, *ids):
    return [page.eval(f"return document.getElementById('{each}').checkVisibility()") for each in ids]


def choose(page, css, value):
    """Chooses an option as somebody does; the page hears of it."""
    page.click(f'{css} option[value="{value}"]')


def matcher(page, number, kind, text, within="#matchers"):
    row = f"{within} .matcher:nth-child({number})"
    choose(page, row + " select", kind)
    page.fill(row + " input", text)


def subscribe(page, state="open"):
    page.click("#subscribe-form button[type=submit]")
    page.until_text("#state", state)


def publish(page, data, id=""):
    page.eval("document.querySelectorAll('#publish details').forEach(details => { details.open = true; })")
    page.fill("#id", id)
    page.fill("#data", data)
    page.click("#publish-form button[type=submit]")
    page.until("an answer", "return document.getElementById('publish-result').dataset.kind")
    return page.text("#publish-result")


def sign(page):
    page.eval("document.getElementById('builder').open = true")
    page.click("#builder-form button[type=submit]")
    page.until_text("#builder-result", "Signed.")


def until_first(page, id, data):
    page.until(f"the update {id}", f"""
        const item = document.querySelector('#updates li');
        return item && JSON.stringify(['.id', 'pre'].map(part => item.querySelector(part).textContent)) === {json.dumps(json.dumps([id, data],
        separators=(",", ":"), ensure_ascii=False))};
    """)


def decoded(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def matchers_are_rows(page, hub):
    page.open(hub.url)
    page.eval("sessionStorage.clear()")
    page.open(hub.url)
    check(page.eval("return document.getElementById('speaks-10').checked"), True)
    check(page.text("#protocol-says"), "This hub speaks 1.0 and 0.x.")
    check(shown(page, "matchers", "selectors", "entries", "private"), [True, False, False, True])
    address = hub.url.rstrip("/") + HUB
    pattern = "match_urlpattern=https%3A%2F%2Fexample.com%2Fbooks%2F%3Aid"
    check(page.text("#subscribe-url"), f"{address}?{pattern}")
    page.click("#add-matcher")
    matcher(page, 2, "match", "é & {id}")
    page.click("#add-matcher")
    matcher(page, 3, "match_exact", "*")
    page.fill("#from-id", "earliest")
    check(page.text("#subscribe-url"), f"{address}?{pattern}&match=%C3%A9+%26+%7Bid%7D&match_exact=*&last_event_id=earliest")
    unnamed = [label for label in page.labels("#subscribe select, #subscribe input, #subscribe button") if not label[1].strip()]
    check(unnamed, [])
    page.click("#matchers .matcher:nth-child(2) button")
    check(page.text("#subscribe-url"), f"{address}?{pattern}&match_exact=*&last_event_id=earliest")
    # An empty row is not sent: the browser asks for its text.
    page.fill("#matchers .matcher:nth-child(2) input", "")
    page.click("#subscribe-form button[type=submit]")
    check((page.text("#state"), page.eval("return document.querySelector('#matchers input:invalid') !== null")), ("not subscribed", True))
    # What belongs to the other protocol is hidden, and keeps nothing from being sent.
    page.choose_protocol("older")
    check(shown(page, "matchers", "selectors", "may-publish"), [False, True, False])
    check(page.text("#subscribe-url"), f"{address}?topic=https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D&lastEventID=earliest")
    subscribe(page)
    page.click("#unsubscribe")
    page.choose_protocol("10")
    page.click("#matchers .matcher:nth-child(2) button")
    page.fill("#from-id", "")


def a_token_is_built_from_entries(page, hub):
    page.eval("document.getElementById('builder').open = true")
    name = hub.url.rstrip("/") + HUB
    claims = json.loads(page.value("#claims"))
    everything = {"type": DETAIL, "actions": ["publish", "subscribe"], "topics": [{"match": "*"}]}
    check([claims[claim] for claim in ("iss", "aud", "authorization_details")], [name, name, [everything]])
    first, second = ("#entries .entry:nth-child(%d) " % number for number in (1, 2))
    page.click(first + "input[value=publish]")
    page.fill(first + ".matcher input", BOOK)
    page.click(first + ".add")
    matcher(page, 2, "urlpattern", "/users/:id", first + ".matchers")
    page.fill(first + ".payload", '{"name": "Zoë"')
    check(page.text("#builder-result"), "The payload is no JSON; a text needs quotes.")
    page.fill(first + ".payload", '{"name": "Zoë"}')
    page.click("#add-entry")
    page.click(second + "input[value=subscribe]")
    matcher(page, 1, "exact", "*", second)
    page.click("#add-entry")
    page.click("#entries .entry:nth-child(3) .remove")
    unnamed = [label for label in page.labels("#builder select, #builder input, #builder button") if not label[1].strip()]
    check(unnamed, [])
    wanted = [
        {"type": DETAIL, "actions": ["subscribe"], "topics": [{"match": BOOK}, {"match": "/users/:id", "match_type": "urlpattern"}],
         "payload": {"name": "Zoë"}},
        {"type": DETAIL, "actions": ["publish"], "topics": [{"match": "*"}]},
    ]
    sign(page)
    header, claims = decoded(page.value("#token"))
    check((header, claims["authorization_details"]), ({"alg": "HS256", "typ": "at+jwt"}, wanted))
    says = page.text("#token-says")
    check(says.startswith("1.0, HS256, until "), True)
    check(says.endswith(f"May publish: *. May receive: {BOOK}, /users/:id (pattern)."), True)
    # What is written by hand shows in the fields, and what the fields do not know stays.
    foreign, odd = {"type": "https://e.x/other", "x": 1}, {"match": "a", "match_type": "regexp"}
    page.fill("#claims", json.dumps({**claims, "sub": "ada", "authorization_details": [foreign, {**wanted[1], "topics": [odd]}]}))
    check(page.eval("return [...document.querySelectorAll('#entries select, #entries .matcher input')].map(field => field.value)"),
          ["regexp", "a"])
    page.click(first + "input[value=subscribe]")
    claims = json.loads(page.value("#claims"))
    entry = {"type": DETAIL, "actions": ["publish", "subscribe"], "topics": [odd]}
    check((claims["sub"], claims["authorization_details"]), ("ada", [entry, foreign]))
    sign(page)
    check(page.text("#token-says"), 'Entry 1 of "authorization_details" in the token has the "match_type" "regexp": it can be exact or'
          ' urlpattern.')
    subscribe(page, "closed")
    page.until_text("#subscribe-result", "401: Entry 1 of")
    page.until_text("#subscribe-result", 'Its challenge: Bearer error="invalid_token", resource_metadata="')
    # To the other protocol and back: each has claims of its own.
    page.choose_protocol("older")
    check(sorted(json.loads(page.value("#claims"))), ["exp", "mercure", "sub"])
    page.choose_protocol("10")
    check(sorted(json.loads(page.value("#claims"))), ["aud", "authorization_details", "exp", "iss", "sub"])


def private_updates_arrive(page, hub):
    page.open(hub.url)
    page.fill("#token", "")
    check(publish(page, "x").startswith("401: There is no token, and this needs one."), True)
    check('Its challenge: Bearer resource_metadata="' in page.text("#publish-result"), True)
    sign(page)
    matcher(page, 1, "match_urlpattern", BOOKS)
    subscribe(page)
    page.fill("#topics", BOOK + "\nanother")
    page.click("#private")
    check(publish(page, "secret", "s1"), "Published as s1")
    until_first(page, "s1", "secret")
    # The lines for the terminal and for a program do the same again.
    for name, command in (("curl", ["bash", "-c"]), ("JavaScript", ["node", "--input-type=module", "-e"])):
        page.click("#clear")
        line = page.text(f"#publish .code pre[aria-label='As {name}']")
        ended = subprocess.run([*command, line], capture_output=True, text=True, timeout=DEADLINE_S)
        check(("s1" in ended.stdout, ended.returncode), (True, 0))
        until_first(page, "s1", "secret")
        line = page.text(f"#subscribe .code pre[aria-label='As {name}']")
        with subprocess.Popen([*command, line], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              start_new_session=True) as client:
            check(client.stdout.readline(), ":\n")
            os.killpg(client.pid, signal.SIGKILL)
    # An id that the hub does not know, also one that no header holds.
    for unknown in ("never-seen", "nie zażółć"):
        page.fill("#from-id", unknown)
        subscribe(page)
        page.until_text("#subscribe-result", f"The hub does not know the id {unknown} any more and sends all it has.")
    page.fill("#from-id", "")
    # The cookie of 1.0 does as well, and that of 0.x is gone then.
    page.click("input[value=cookie]")
    subscribe(page)
    publish(page, "with the cookie", "s2")
    until_first(page, "s2", "with the cookie")
    check(" -b mercure_access_token=ey" in page.text("#publish .code pre[aria-label='As curl']"), True)
    page.click("input[value=header]")
    page.click("#private")
    page.click("#unsubscribe")


def what_is_refused_says_why(page, hub):
    name = hub.url.rstrip("/") + HUB
    right = {"iss": name, "aud": name, "exp": 4102444800}
    grants = [{"type": DETAIL, "actions": ["subscribe"], "topics": [{"match": "*"}]}]
    topics = {"type": DETAIL, "actions": ["publish"]}
    for claims, says in (
        ({**right, "exp": 1}, "The token expired at "),
        ({"iss": name, "aud": name}, 'The token has no "exp", and in 1.0 every token ends.'),
        ({"aud": name, "exp": 4102444800}, 'The token has no "iss", the name of its issuer.'),
        ({"iss": name, "exp": 4102444800}, 'The token has no "aud", the name of the hub that it is for.'),
        ({**right, "aud": ["https://e.x"]}, f'The token is for https://e.x, and the name of this hub is {name} ("aud").'),
        ({**right, "iss": "https://e.x"}, "the hub does not accept this token of 1.0: its iss is not the name of an ISSUER of the hub"),
        ({**right, "authorization_details": {}}, '"authorization_details" of the token has to be a list of entries.'),
        ({**right, "authorization_details": ["a"]}, 'in the token has to be an object with a "type".'),
        ({**right, "authorization_details": [{**topics, "actions": []}]}, 'in the token needs "actions", such as ["subscribe"].'),
        ({**right, "authorization_details": [{**topics, "topics": []}]}, 'in the token needs "topics", such as [{"match": "*"}].'),
        ({**right, "authorization_details": [{**topics, "topics": ["*"]}]}, 'has a topic without "match", which has to be a text.'),
    ):
        page.fill("#token", hub.signed(claims, "at+jwt"))
        said = publish(page, "x")
        check((said[:5], says in said), ("401: ", True))
        check('Its challenge: Bearer error="invalid_token", resource_metadata="' in said, True)
    page.fill("#token", hub.signed({**right, "authorization_details": grants}, "at+jwt"))
    said = publish(page, "x")
    check(said.startswith("403: no entry with the action publish in the token's authorization_details matches every topic"), True)
    check('Bearer error="insufficient_scope", resource_metadata="' in said, True)
    # What is wrong with a matcher, the hub says.
    matcher(page, 1, "match_urlpattern", "https://e.x/(")
    subscribe(page, "closed")
    page.until_text("#subscribe-result", "400: something in the request is not as it must be. The hub says: ")
    page.until_text("#subscribe-result", "URL Pattern")
    matcher(page, 1, "match_urlpattern", BOOKS)
    # The hub's own matcher knows patterns, too.
    check(page.value("#match-kind"), "match_urlpattern")
    page.click("#match-form button[type=submit]")
    page.until_text("#match-result", "2 of 3 selected. It is a URL Pattern.")
    choose(page, "#match-kind", "match")
    page.click("#match-form button[type=submit]")
    page.until_text("#match-result", "1 of 3 selected. It selects the topic that is the same text.")


def subscriptions_are_shown_in_the_form_of_the_token(page, hub):
    page.open(hub.url)
    payload = json.dumps({"name": "Zoë"})
    page.eval("document.getElementById('builder').open = true")
    page.fill("#entries .payload", payload)
    page.fill("#entries .matcher input", BOOK)
    sign(page)
    page.click("#watch")
    page.until_text("#subscriptions-result", "403: the token is valid, but no entry with the action subscribe in its authorization_details")
    page.fill("#entries .matcher input", "*")
    sign(page)
    page.click("#add-matcher")
    matcher(page, 1, "match", BOOK)
    matcher(page, 2, "match_urlpattern", BOOKS)
    subscribe(page)
    page.click("#watch")
    page.until_text("#subscriptions-result", "Watching. 3 now.")
    page.until("three of them", "return document.querySelectorAll('#subscribers li').length === 3")
    found = page.eval("""return [...document.querySelectorAll('#subscribers li')].map(item =>
        ['strong', '.type', 'pre'].map(part => item.querySelector(part).textContent.trim()))""")
    shown_payload = '{\n  "name": "Zoë"\n}'
    wanted = [(BOOK, "exact"), (BOOKS, "urlpattern"), (LIST + "/*?", "urlpattern")]
    check(sorted(found), sorted([text, kind, shown_payload] for text, kind in wanted))
    page.click("#unsubscribe")
    page.until_text("#subscriptions-result", "Watching. 1 now.")
    page.click("#unwatch")
    # The list of all is the token's: with one of 0.x, it is that of 0.x.
    page.fill("#token", hub.token("--subscribe", "*"))
    page.click("#watch")
    page.until_text("#subscriptions-result", "Watching. 1 now. They are those of 0.x, as the token is.")
    page.until_text("#subscribers", LIST + "{/topic}{/subscriber}")
    page.click("#unwatch")


def at(page, hub):
    page.fill("#hub", hub.url.rstrip("/") + HUB)
    # The field is left, as by somebody who goes on with the next one.
    page.type("#hub", "\ue004")


def other_hubs_say_what_they_speak(page, hub):
    def metadata(asked):
        asked.answer(json.dumps({"resource": names[-1], "mercure_cookie": "other"}), Content_Type="application/json")

    def problem(asked):
        body = json.dumps({"type": "about:blank", "title": "No such matcher", "detail": "use match"})
        asked.answer(body, 400, Content_Type="application/problem+json", WWW_Authenticate='Bearer error="invalid_request"')

    page.open(hub.url)
    sign(page)
    token = page.value("#token")
    names = ["https://victim.example/hub"]
    with Stub({METADATA: metadata, HUB: problem}) as stub:
        at(page, stub)
        # It could have tokens made for another hub, so its name is not taken.
        page.until_text("#protocol-says", "It says that its name is https://victim.example/hub: enter this as the audience if you trust it.")
        check(page.value("#audience"), hub.url.rstrip("/") + HUB)
        check(page.text("#token-says").startswith("1.0, HS256, until "), True)
    with Stub({METADATA: metadata, HUB: problem}) as stub:
        names.append(stub.url + "its-name")
        at(page, stub)
        page.until_text("#protocol-says", "That hub speaks 1.0, and perhaps an older protocol, too.")
        check(page.value("#audience"), stub.url + "its-name")
        # Its metadata need no token.
        check([asked.headers["Authorization"] for asked in stub.asked], [None])
        page.until_text("#token-says", f"and the name of this hub is {stub.url}its-name")
        page.fill("#from-id", "é")
        subscribe(page, "closed")
        check(page.text("#subscribe-result"), "400: something in the request is not as it must be. The hub says: No such matcher: use"
              ' match Its challenge: Bearer error="invalid_request"')
        check(stub.asked[-1].query[-1], ("last_event_id", "é"))
        page.fill("#from-id", "")
    with Stub({}) as stub:
        at(page, stub)
        page.until_text("#protocol-says", "That hub does not speak 1.0: it has no metadata.")
        check(shown(page, "matchers", "selectors"), [False, True])
        page.until_text("#token-says", "This token is one of 1.0, which the hub does not speak.")
    at(page, hub)
    page.until_text("#protocol-says", "This hub speaks 1.0 and 0.x.")
    check((page.value("#audience"), page.value("#token")), (hub.url.rstrip("/") + HUB, token))
    page.choose_protocol("10")


def a_cursor_of_a_list_is_in_its_link(page, hub):
    """In either spelling, and no list is watched without one."""
    def listed(link):
        return lambda asked: asked.answer('{"subscriptions": []}', Content_Type="application/json", Link=link)

    def stream(asked):
        asked.stream(Mercure_Last_Event_ID="x")
        asked.until_left()

    for attributes, header, query in (
        ('; last-event-id="a \\"b\\" \\\\"', 'a "b" \\', None),
        ("; rel=\"x\"; last-event-id*=UTF-8''%C5%BC%C3%B3%C5%82%C4%87", None, "żółć"),
    ):
        with Stub({METADATA: lambda asked: asked.answer("{}"), LIST: listed(f'<{HUB}>; rel="mercure"{attributes}'), HUB: stream}) as stub:
            at(page, stub)
            page.click("#watch")
            asked = stub.until_asked(1, HUB)[0]
            check((asked.headers["Last-Event-ID"], dict(asked.query).get("last_event_id")), (header, query))
            check(asked.query[0], ("match_urlpattern", LIST + "/*?"))
            page.click("#unwatch")
    with Stub({METADATA: lambda asked: asked.answer("{}"), LIST: listed("")}) as stub:
        at(page, stub)
        page.until_text("#protocol-says", "Whether that hub speaks 1.0 is not known: its metadata cannot be read.")
        page.click("#watch")
        page.until_text("#subscriptions-result", "This list does not say which update it follows")
    at(page, hub)


def a_resource_that_knows_its_last_update_fills_in_the_cursor(page, hub):
    link = f'<{hub.url.rstrip("/")}{HUB}>; rel="mercure"; last-event-id="urn:1", <{BOOK}>; rel="self"'
    with Stub({"/resource": lambda asked: asked.answer("x", Link=link)}) as stub:
        page.fill("#resource", stub.url + "resource")
        page.click("#discover-form button[type=submit]")
        page.until_text("#discover-result", "Hub and topic are filled in")
    check(page.eval("return [...document.querySelectorAll('#matchers select, #matchers input')].map(field => field.value)"),
          ["match", BOOK])
    check((page.value("#from-id"), page.value("#topics")), ("urn:1", BOOK))
    check(page.text("#subscribe-url").endswith("?match=https%3A%2F%2Fexample.com%2Fbooks%2F1&last_event_id=urn%3A1"), True)


def a_hub_that_speaks_one_protocol_leaves_no_choice(page, only, older):
    page.open(only.url)
    check(page.text("#protocol-says"), "This hub speaks 1.0 alone.")
    check(page.eval("return ['speaks-10', 'speaks-older'].map(id => document.getElementById(id).disabled)"), [False, True])
    page.fill("#token", only.signed({"mercure": {"publish": ["*"]}}))
    check(page.text("#token-says"), "This token is one of 0.x, and the hub speaks 1.0 alone.")
    check(publish(page, "x").startswith("401: This token is one of 0.x, and the hub speaks 1.0 alone."), True)
    sign(page)
    # Over plain HTTP, too, the cookie is one that a browser keeps.
    page.click("input[value=cookie]")
    check(publish(page, "by cookie", "c1"), "Published as c1")
    page.open(older.url)
    check(page.text("#protocol-says"), "This hub speaks 0.x alone.")
    check(shown(page, "matchers", "selectors"), [False, True])


def targets_are_of_2019_alone(page, targets):
    """On a hub that speaks 2019 and 1.0."""
    page.open(targets.url)
    page.choose_protocol("10")
    check(shown(page, "targets", "private"), [False, True])
    sign(page)
    page.fill("#topics", BOOK)
    check(publish(page, "of 1.0", "n1"), "Published as n1")
    page.choose_protocol("older")
    check(shown(page, "targets", "private"), [True, False])


def all_of_it(page, hub, only, older, targets):
    matchers_are_rows(page, hub)
    a_token_is_built_from_entries(page, hub)
    private_updates_arrive(page, hub)
    what_is_refused_says_why(page, hub)
    subscriptions_are_shown_in_the_form_of_the_token(page, hub)
    other_hubs_say_what_they_speak(page, hub)
    a_cursor_of_a_list_is_in_its_link(page, hub)
    a_resource_that_knows_its_last_update_fills_in_the_cursor(page, hub)
    a_hub_that_speaks_one_protocol_leaves_no_choice(page, only, older)
    targets_are_of_2019_alone(page, targets)
