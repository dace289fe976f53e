"""Firefox by WebDriver BiDi."""

import base64
import json
import os
import re
import subprocess

import pytest
from driving import NO_GPU, Driver, Socket, display, program, stop, until


class Firefox(Driver):
    """One process for each color scheme and for scripts off: preferences are read at its start."""

    def __init__(self, folder, cleanup):
        self.program = program("firefox-esr", "firefox", hint="firefox-esr")
        self.folder, self.cleanup, self.started = folder, cleanup, {}
        display(cleanup)

    def _start(self, dark, script):
        profile = self.folder / f"{dark}-{script}"
        profile.mkdir()
        preferences = {"layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
                       "javascript.enabled": script, "webgl.force-enabled": True}  # fmt: skip
        lines = [f'user_pref("{k}", {json.dumps(v)});\n' for k, v in preferences.items()]
        (profile / "user.js").write_text("".join(lines))
        said = profile / "said"
        with said.open("w") as log:
            process = subprocess.Popen(
                [self.program, "--no-remote", "--profile", profile, "--remote-debugging-port=0"],
                env=os.environ | NO_GPU, stdout=subprocess.DEVNULL, stderr=log)  # fmt: skip
        self.cleanup(lambda: stop(process))
        address = until(lambda: re.search(r"ws://[\w.:]+(?=\n)", said.read_text()), 60,
                        lambda: pytest.skip("Firefox does not start here"))  # fmt: skip
        tab = Socket(f"{address[0]}/session")
        self.cleanup(tab.close)
        tab.call("session.new", capabilities={})
        tab.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        return tab, tab.call("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, path, *, width=1280, height=900, dark=False, script=True):
        if (dark, script) not in self.started:
            self.started[dark, script] = self._start(dark, script)
        self.tab, self.context = self.started[dark, script]
        size = {"width": width, "height": height}
        self.tab.call("browsingContext.setViewport", context=self.context, viewport=size)
        self.tab.events.clear()
        address = path.resolve().as_uri()
        self.tab.call(
            "browsingContext.navigate", context=self.context, url=address, wait="complete"
        )

    def eval(self, expression):
        found = self.tab.call("script.evaluate", expression=f"JSON.stringify({expression})",
                              target={"context": self.context}, awaitPromise=True)  # fmt: skip
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    def screenshot(self, path):
        data = self.tab.call("browsingContext.captureScreenshot", context=self.context)["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def problems(self):
        self.eval("1")
        return [e for e in self.tab.of("log.entryAdded") if e["level"] == "error"]

    @property
    def requests(self):
        self.eval("1")
        return [e["request"]["url"] for e in self.tab.of("network.beforeRequestSent")]
