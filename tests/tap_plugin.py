"""Print pytest's results as TAP, one line a test, as automake reads it."""

import sys

import pytest


class Tap:
    def __init__(self):
        self.number = 0

    def say(self, verdict, name, why=""):
        self.number += 1
        line = f"{verdict} {self.number} - {name.replace('#', '_')}"
        print(line + (f" # {why}" if why else ""), flush=True)

    def explain(self, text):
        for line in text.splitlines():
            print("# " + line)
        sys.stdout.flush()

    def pytest_sessionfinish(self):
        print(f"1..{self.number}", flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            self.explain(report.longreprtext)
            print(f"Bail out! cannot collect {report.nodeid}", flush=True)

    def pytest_runtest_logreport(self, report):
        """A test is its setup, call and teardown; only one of them speaks."""
        if report.when == "teardown" and not report.failed:
            return
        if report.when == "setup" and report.passed:
            return
        if report.when == "teardown":
            # Its call had its line already: say it aloud as one more.
            self.say("not ok", report.nodeid + " (teardown)")
        elif hasattr(report, "wasxfail"):
            self.say("ok" if report.passed else "not ok", report.nodeid,
                     "TODO " + report.wasxfail)
        elif report.skipped:
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self.say("ok", report.nodeid, "SKIP " + reason)
        else:
            self.say("ok" if report.passed else "not ok", report.nodeid)
        if report.failed:
            self.explain(report.longreprtext)
            for title, text in report.sections:
                self.explain(f"---- {title}")
                self.explain(text)


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    # Its options are asked for everywhere, so it is loaded and then dropped.
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Tap(), "tap")
