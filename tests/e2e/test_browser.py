"""A real browser in front of nginx and Holdfast: whatever becomes of the
daemon, a page gets every message once and in order.

Without Chromium, its driver and selenium these tests fail: nothing else says
that the promise holds for those who are meant by it."""

import os
import shutil
import threading
import time

import pytest

import cases
import conftest
from conftest import wait_until

# The pages' server is the site's own, as im_subscrider.conf wants it.
SITE = """
    server {
        listen 127.0.0.1:8080;
        include bx/conf/errors.conf;
        include bx/conf/im_subscrider.conf;

        location /pages/ {
            root .;
            types { text/html html; text/javascript js; }
        }
        location /events {
            include fastcgi_params;
            fastcgi_param push_stream_subscriber          eventsource;
            fastcgi_param push_stream_channels_path       $arg_channel;
            fastcgi_param push_stream_eventsource_cursor  on;
            fastcgi_read_timeout 90s;
            fastcgi_pass unix:/run/holdfast/fastcgi.sock;
        }
    }
"""
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu",
           "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
           "--disable-background-networking", "--disable-component-update",
           "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
TEST_S = 25             # no test takes longer
PAUSE_S = 0.01          # between two publishes


@pytest.fixture(scope="module")
def front(certificate, daemon):
    server = conftest.nginx(
        certificate, "browser",
        conftest.include("bitrix-0.4.0.conf") + SITE, [8080, 8895])
    shutil.copytree(conftest.TESTS / "e2e" / "pages", server.folder / "pages")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(namespaces, tmp_path_factory):
    """Its network is the loopback of this namespace, there is no other."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={folder}")
    env = {name: value for name, value in os.environ.items()
           if not name.lower().endswith("_proxy")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        driver = webdriver.Chrome(options=options, service=Service(
            shutil.which("chromedriver"),
            log_path=str(folder / "driver.log"),
            env={**env, "HOME": str(folder)}))
        driver.set_page_load_timeout(TEST_S)
        driver.set_script_timeout(TEST_S)
        yield driver
        driver.quit()


class Page:
    """One of ours; it collects in window.seen."""

    def __init__(self, browser, name, channel):
        self.browser = browser
        self.deadline = time.monotonic() + TEST_S
        browser.get(f"http://127.0.0.1:8080/pages/{name}.html"
                    f"?channel={channel}")
        self.wait_for("opened > 0")

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
    """Publishes 1, 2, 3 ... without a stop.  What was not acknowledged may
    have been stored all the same; no number is published again."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel
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
            a = cases.pub("POST", self.channel, b"%d" % number)
            into = self.acknowledged if a.status == 200 else self.unknown
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


@pytest.fixture
def channel():
    """One that clients may subscribe to."""
    ch = cases.new_channel()
    cases.publish(ch, b"0")
    return ch


def test_eventsource(front, browser, daemon, channel):
    """It reconnects with the id of its last message, as browsers do, after
    some seconds."""
    page = Page(browser, "eventsource", channel)
    check_walk(daemon, page, Publisher(channel), [daemon.kill, daemon.stop])


def test_idle_eventsource(front, browser, daemon, channel):
    """One that has seen no message yet when the daemon is killed."""
    page = Page(browser, "eventsource", channel)
    daemon.kill()
    page.wait_for("cut > 0")
    daemon.start()
    for n in 1, 2, 3:
        cases.publish(channel, b"%d" % n)
    page.wait_for_number(3)
    assert page.leave() == [1, 2, 3]


def test_websocket(front, browser, daemon, channel):
    page = Page(browser, "websocket", channel)
    check_walk(daemon, page, Publisher(channel),
               [daemon.kill, daemon.stop] * 3)


def test_long_polling(front, browser, daemon, channel):
    parked = daemon.status()["parked"]
    page = Page(browser, "longpoll", channel)
    daemon.wait_for(parked=parked + 1)
    check_walk(daemon, page, Publisher(channel),
               [daemon.kill, daemon.stop] * 3)
