"""Visits to a page, with what goes wrong in it."""

WIDTHS = {"phone": 390, "desk": 1280}
SECONDS = 20  # for whatever the browser is asked to wait for


class Visit:
    """A tab while it shows a page, and what went wrong meanwhile."""

    def __init__(self, tab):
        self.tab = tab
        self.problems = []
        self._listeners = {
            "console": self._console,
            "pageerror": lambda error: self.problems.append(f"error: {error}"),
            "request": self._request,
            "requestfailed": lambda request: self.problems.append(f"no {request.url}"),
        }

    def _console(self, message):
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _request(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.problems.append(f"asks for {request.url}")

    def __enter__(self):
        self.tab.set_default_timeout(1000 * SECONDS)
        for event, listener in self._listeners.items():
            self.tab.on(event, listener)
        return self

    def __exit__(self, *_):
        for event, listener in self._listeners.items():
            self.tab.remove_listener(event, listener)
