"""A page that reads while the daemon beneath it ends and comes again."""

import threading
import time

from front import wait_until

TEST_S = 25             # no test takes longer
PAUSE_S = 0.01          # between two publishes


class Page:
    """One of ours; it collects in `seen`."""

    def __init__(self, browser, path):
        self.browser = browser
        self.deadline = time.monotonic() + TEST_S
        browser.get("http://127.0.0.1:8080/pages/" + path)

    def value(self, script):
        return self.browser.execute_script(f"return {script}")

    def wait_for(self, script):
        while not self.value(script):
            assert time.monotonic() < self.deadline, (
                script, self.value("[opened, cut, seen.slice(-1)]"))
            time.sleep(0.02)

    def wait_for_number(self, number):
        """Or a later one."""
        self.wait_for(f"seen.at(-1) >= {number}")

    def leave(self):
        seen = self.value("seen")
        self.browser.get("about:blank")
        return seen


class Publisher(threading.Thread):
    """Publishes 1, 2, 3 ... without a stop: publish(number) says whether it
    was acknowledged.  What was not may have been stored all the same; no
    number is published again."""

    def __init__(self, publish):
        super().__init__()
        self.publish = publish
        self.acknowledged = []
        self.unknown = []
        self.ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *why):
        self.ended.set()
        self.join()

    def run(self):
        number = 0
        while not self.ended.wait(PAUSE_S):
            number += 1
            into = (self.acknowledged if self.publish(number) else
                    self.unknown)
            into.append(number)

    def more(self):
        """The next number that is acknowledged, when it is."""
        n = len(self.acknowledged)
        return wait_until(lambda: self.acknowledged[n:])[0]


def check_walk(daemon, page, publisher, ends):
    """The daemon ends and comes again while messages go on.  Each time the
    page was there before, noticed, and catches up afterwards."""
    with publisher:
        for end in ends:
            page.wait_for_number(publisher.more())
            cut = page.value("cut")
            end()
            page.wait_for(f"cut > {cut}")
            daemon.start()
            page.wait_for_number(publisher.more())
    page.wait_for_number(publisher.acknowledged[-1])
    seen = page.leave()
    assert seen == sorted(set(seen)), "twice, or out of order"
    assert not set(publisher.acknowledged) - set(seen), "lost"
    assert not set(seen) - {*publisher.acknowledged, *publisher.unknown}
