"""A real browser in front of nginx and Holdfast: whatever becomes of the
daemon, a page gets every message once and in order.

Without Chromium, its driver and selenium these tests fail: nothing else says
that the promise holds for those who are meant by it."""

import shutil

import pytest

import cases
import conftest
from walk import Page, Publisher, check_walk

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


@pytest.fixture(scope="module")
def front(certificate, daemon):
    server = conftest.nginx(
        certificate, "browser",
        conftest.include("bitrix-0.4.0.conf") + SITE, [8080, 8895])
    shutil.copytree(conftest.TESTS / "e2e" / "pages", server.folder / "pages")
    server.start()
    yield server
    server.stop()


def open_page(browser, name, channel):
    page = Page(browser, f"{name}.html?channel={channel}")
    page.wait_for("opened > 0")
    return page


def publisher(channel):
    return Publisher(lambda number: cases.pub(
        "POST", channel, b"%d" % number).status == 200)


@pytest.fixture
def channel():
    """One that clients may subscribe to."""
    ch = cases.new_channel()
    cases.publish(ch, b"0")
    return ch


def test_eventsource(front, browser, daemon, channel):
    """It reconnects with the id of its last message, as browsers do, after
    some seconds."""
    page = open_page(browser, "eventsource", channel)
    check_walk(daemon, page, publisher(channel), [daemon.kill, daemon.stop])


def test_idle_eventsource(front, browser, daemon, channel):
    """One that has seen no message yet when the daemon is killed."""
    page = open_page(browser, "eventsource", channel)
    daemon.kill()
    page.wait_for("cut > 0")
    daemon.start()
    for n in 1, 2, 3:
        cases.publish(channel, b"%d" % n)
    page.wait_for_number(3)
    assert page.leave() == [1, 2, 3]


def test_websocket(front, browser, daemon, channel):
    page = open_page(browser, "websocket", channel)
    check_walk(daemon, page, publisher(channel),
               [daemon.kill, daemon.stop] * 3)


def test_long_polling(front, browser, daemon, channel):
    parked = daemon.status()["parked"]
    page = open_page(browser, "longpoll", channel)
    daemon.wait_for(parked=parked + 1)
    check_walk(daemon, page, publisher(channel),
               [daemon.kill, daemon.stop] * 3)
