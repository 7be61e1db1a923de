"""Chromium, by the WebDriver protocol (W3C WebDriver, section 6): a session, pages, scripts, cookies."""

import contextlib
import json
import urllib.request


class Browser:
    def __init__(self, driver, session):
        self.driver, self.session = driver, session

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.driver}{self.session}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=90) as response:
            return json.load(response)["value"]

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """The value of an `async` function's body; what it throws is raised here."""
        body = f"""
            const done = arguments[arguments.length - 1];
            (async (...given) => {{ {script} }})(...arguments).then(
                value => done({{value}}), error => done({{error: String(error.stack || error)}}));
        """
        result = self.call("POST", "/execute/async", {"script": body, "args": arguments})
        if "error" in result:
            raise RuntimeError(result["error"])
        return result.get("value")

    def set_cookie(self, name, value):
        # Of all paths: only then is it one of the page's, which `delete_cookies` takes away.
        # A browser takes the prefix of the name from a secure page alone, and of a secure cookie.
        secure = name.startswith("__Secure-")
        cookie = {"name": name, "value": value, "path": "/", "httpOnly": True, "sameSite": "Lax", "secure": secure}
        self.call("POST", "/cookie", {"cookie": cookie})

    def delete_cookies(self):
        self.call("DELETE", "/cookie")


@contextlib.contextmanager
def browser(driver):
    """A browser of its own, by a chromedriver at this URL."""
    options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
    capabilities = {"browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": options,
                    "timeouts": {"script": 60000}}
    made = Browser(driver, "").call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
    session = Browser(driver, "/session/" + made["sessionId"])
    try:
        yield session
    finally:
        session.call("DELETE", "")
