#!/usr/bin/env python3
"""A browser over HTTPS: fifty EventSource streams and a publication, all on one HTTP/2 connection.

usage: browser.py URL TOKEN CHROMEDRIVER_URL

It speaks the WebDriver protocol itself (W3C WebDriver, section 6): a session, a page, a script.
"""

import json
import sys
import urllib.request

STREAMS = 50

SCRIPT = """
const [streams, token, done] = arguments;
const hub = new URL('/.well-known/mercure', location);
const own = i => hub + '?topic=' + encodeURIComponent('https://example.com/own/' + i)
    + '&topic=' + encodeURIComponent('https://example.com/all');
const seen = Array.from({length: streams}, () => []);
const fail = text => done({error: text, seen});
const publish = topic => fetch(hub, {
    method: 'POST',
    headers: {Authorization: 'Bearer ' + token},
    body: new URLSearchParams({topic, data: topic}),
}).then(response => response.ok || fail('publish: ' + response.status));
let open = 0;
const sources = seen.map((events, i) => {
    const source = new EventSource(own(i));
    source.onopen = async () => {
        if (++open < streams) return;
        for (let j = 0; j < streams; j++) await publish('https://example.com/own/' + j);
        await publish('https://example.com/all');
    };
    source.onerror = () => fail('stream ' + i + ' broke');
    source.onmessage = event => {
        events.push(event.data);
        if (seen.every(events => events.length === 2)) {
            const protocols = performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol);
            sources.forEach(source => source.close());
            done({seen, protocols: [...new Set(protocols)]});
        }
    };
    return source;
});
setTimeout(() => fail('time is over: ' + open + ' streams open'), 20000);
"""


def main():
    url, token, driver = sys.argv[1:]

    def call(method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(driver + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]

    options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
    capabilities = {"browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": options,
                    "timeouts": {"script": 40000}}
    session = "/session/" + call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
    try:
        call("POST", session + "/url", {"url": url})
        result = call("POST", session + "/execute/async", {"script": SCRIPT, "args": [STREAMS, token]})
    finally:
        call("DELETE", session)
    wanted = [[f"https://example.com/own/{i}", "https://example.com/all"] for i in range(STREAMS)]
    if result.get("error") or result["seen"] != wanted:
        sys.exit(f"the browser did not receive what was published: {json.dumps(result)[:2000]}")
    if result["protocols"] != ["h2"]:
        sys.exit(f"the browser spoke {result['protocols']}, not HTTP/2 alone")
    print(f"{STREAMS} streams received their updates over {result['protocols'][0]}")


main()
