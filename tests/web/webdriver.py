"""A browser, driven by the WebDriver protocol (W3C WebDriver; `goog/…` is Chromium's own), and hubs for it to visit."""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

DEADLINE_S = 20
DEMO_KEY = b"!ChangeThisMercureHubJWTSecretKey!"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def check(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, driver):
        self.driver = driver
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
                        "timeouts": {"script": DEADLINE_S * 1000}}
        self.session = ""
        self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("DELETE", "")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = self.driver + self.session + path
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()[:600]}") from None

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def find(self, css):
        return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        # In the middle of the window, where the head of the page does not cover it.
        self.eval(f"document.querySelector({json.dumps(css)}).scrollIntoView({{block: 'center'}})")
        self.call("POST", f"/element/{self.find(css)}/click", {})

    def type(self, css, keys):
        self.call("POST", f"/element/{self.find(css)}/value", {"text": keys})

    def fill(self, css, text):
        """Replaces what a field holds, through the keyboard."""
        self.type(css, "\ue009a\ue000\ue003")
        if text:
            self.type(css, text)

    def choose_protocol(self, name):
        """The debugger's protocol: `10` or `older`."""
        self.click("#speaks-" + name)

    def eval(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def eval_async(self, script):
        return self.call("POST", "/execute/async", {"script": script, "args": []})

    def text(self, css):
        return self.eval(f"return document.querySelector({json.dumps(css)})?.textContent")

    def value(self, css):
        return self.eval(f"return document.querySelector({json.dumps(css)}).value")

    def labels(self, css):
        """What a screen reader calls each of these that is shown."""
        found = self.call("POST", "/elements", {"using": "css selector", "value": css})
        shown = [each[ELEMENT] for each in found if self.call("GET", f"/element/{each[ELEMENT]}/displayed")]
        return [(each, self.call("GET", f"/element/{each}/computedlabel")) for each in shown]

    def until(self, what, script):
        until = time.monotonic() + DEADLINE_S
        while not self.eval(script):
            if time.monotonic() > until:
                raise AssertionError(f"{what} does not come; the page: {self.text('main')[:3000]}")
            time.sleep(0.02)

    def until_text(self, css, text):
        until = time.monotonic() + DEADLINE_S
        while text not in (found := self.text(css)):
            if time.monotonic() > until:
                raise AssertionError(f"{css} says {found!r}, and not {text!r}")
            time.sleep(0.02)

    def viewport(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 800)

    def scheme(self, name):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path, whole=True):
        if whole:
            self.eval("scrollTo(0, 0)")
        data = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def log(self):
        return self.call("POST", "/se/log", {"type": "browser"})

    forget_log = log

    def check_log(self):
        """Answers that are errors are part of the flows, and so is a hub that lets no other origin in; nothing else is."""
        def is_part(entry):
            return entry["source"] == "network" or "has been blocked by CORS policy" in entry["message"]
        check([entry for entry in self.log() if entry["level"] in ("SEVERE", "WARNING") and not is_part(entry)], [])


class Hub:
    """A hub in demo mode, which can be killed and started again on its port."""

    def __init__(self, binary, **settings):
        self.binary = binary
        # A port of its own choice: in demo mode the names in tokens of 1.0 follow from ADDR.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.settings = {"DEMO": "1", "ADDR": address, "LOG_FORMAT": "JSON", "DRAIN_TIMEOUT": "0s", **settings}
        self.start()

    def start(self):
        environment = {"PATH": os.environ["PATH"], **self.settings}
        self.child = subprocess.Popen([self.binary], env=environment, stderr=subprocess.PIPE, text=True)
        for line in self.child.stderr:
            if "petasos serves" in line:
                break
        else:
            raise AssertionError("the hub does not start")
        self.url = f"http://{self.settings['ADDR']}/"
        threading.Thread(target=self.child.stderr.read, daemon=True).start()

    def kill(self):
        self.child.kill()
        self.child.wait()

    def token(self, *arguments):
        command = [self.binary, "token", *arguments]
        environment = {"DEMO": "1", "ADDR": self.settings["ADDR"]}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    @staticmethod
    def signed(claims, typ="JWT"):
        """A token with any claims, which the demo's key has signed."""
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        head = part(json.dumps({"alg": "HS256", "typ": typ}).encode()) + b"." + part(json.dumps(claims).encode())
        return (head + b"." + part(hmac.digest(DEMO_KEY, head, hashlib.sha256))).decode()

    def publish(self, token, **fields):
        body = urllib.parse.urlencode(fields).encode()
        headers = {"Authorization": "Bearer " + token}
        with urllib.request.urlopen(urllib.request.Request(self.url + ".well-known/mercure", body, headers)) as response:
            return response.read().decode()

