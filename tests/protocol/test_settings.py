"""Settings: where they stand, which of them wins, what a wrong one does, and
what a client cannot do to them."""

import subprocess

import pytest

import conftest
from front import (EMPTY, EXPLAIN, GATEWAYS, NO_CACHE, SINCE_EVER, Location,
                   check_head, cors, long_polling, new_channel, polling,
                   publisher)


def lines(daemon, *words):
    """The lines of its log that have all these words."""
    return [line for line in daemon.log.read_text().splitlines()
            if all(w in line for w in words)]


# Parameters

WRONG = [
    ("push_stream_nonsense", "on"),
    ("push_stream_Compat", "0.6.0"),
    ("push_stream_subscriber", "sometimes"),
    ("push_stream_publisher", "boss"),
    ("push_stream_compat", "0.7"),
    ("push_stream_store_messages", "yes"),
    ("push_stream_store_messages", ""),
    ("push_stream_longpolling_connection_ttl", "0"),
    ("push_stream_longpolling_connection_ttl", "soon"),
    ("push_stream_longpolling_connection_ttl", "99999999999999999999"),
    ("push_stream_ping_message_interval", "-1"),
    ("push_stream_message_template", ""),
    ("push_stream_wildcard_channel_max_qtd", "0"),
    ("push_stream_wildcard_channel_max_qtd", "1"),  # without a prefix
    ("push_stream_header_template_file", "/etc/passwd"),
    ("push_stream_content_type", "a/b\r\nX-Evil: 1"),
    ("push_stream_header_template", "a\0b"),
]


@pytest.mark.parametrize("name, value", WRONG[:-1])
def test_wrong_parameter(make_daemon, name, value):
    """500 to that request, one line in the log that names it, and the next
    request is served."""
    d = make_daemon()
    for gateway in GATEWAYS:
        poll = polling(d, gateway, message_template=None)
        poll.more = {name: value}
        a = poll.get("a")
        check_head(a, 500, (EXPLAIN, "Wrong push_stream parameter; see "
                            "Holdfast's log."), *EMPTY)
    word = "wildcard" if "wildcard" in name else name
    assert len(lines(d, "/push", word)) == 2
    assert b"root:" not in a.raw and b"Evil" not in a.raw
    assert d.status()["bad_parameters"] == 2
    assert polling(d).get("a").status == 304


def test_nul_in_a_parameter(daemon):
    """FastCGI can carry one; a C string cannot."""
    poll = polling(daemon)
    poll.more = dict([WRONG[-1]])
    assert poll.get("a").status == 500


def test_log_of_wrong_parameters_is_bounded(make_daemon):
    """A front's mistake comes with every request: ten lines are enough."""
    d = make_daemon()
    wrong = Location(d, nonsense="1")
    assert {wrong.get("a").status for _ in range(40)} == {500}
    assert len(lines(d, "nonsense")) == 10


@pytest.mark.parametrize("name, value", [
    ("push_stream_message_ttl", "1"),
    ("push_stream_max_messages_stored_per_channel", "1"),
    ("push_stream_max_number_of_channels", "wrong"),
    ("push_stream_wildcard_channel_prefix", "a"),
    ("push_stream_shared_memory_size", "32m"),
    ("push_stream_keepalive", "on"),
])
def test_parameter_that_does_not_belong_there(make_daemon, name, value):
    """It is ignored, and said once where it belongs."""
    d = make_daemon()
    pub = publisher(d)
    pub.more = {name: value}
    for n in range(1, 5):
        assert b'"stored_messages": %d,' % n in pub.post("ab", b"x").body
    line, = lines(d, name)
    assert "holdfast.conf" in line or "no effect" in line
    assert d.status()["wildcard_channels"] == 0


def test_names_of_older_versions(daemon):
    """0.3.x called some of them otherwise."""
    pub = publisher(daemon, channel_id=new_channel())
    assert pub.ask("POST", None, b"x").status == 200
    assert pub.get(None).status == 200


@pytest.mark.parametrize("value", ["20ms", "0s 20ms", "0h 0m 20ms", "0 20ms"])
def test_times(daemon, value):
    wait = long_polling(daemon, longpolling_connection_ttl=value)
    assert wait.get(new_channel()).status == 304


def test_flags_have_no_case(daemon):
    pub = publisher(daemon, store_messages="ON", channel_info_on_publish="Off")
    assert pub.post(new_channel(), b"x").body == b""


def test_no_endpoint(daemon):
    """Nothing says what this location is."""
    a = Location(daemon, header_template="x").get("a")
    check_head(a, 404, (EXPLAIN, "No endpoint is configured for this "
                        "location."), *EMPTY)


def test_many_locations(make_daemon):
    """More endpoints than are kept: settings of one never reach another."""
    d = make_daemon()
    publisher(d).post("a", b"x")
    for _ in range(2):
        for n in range(1100):
            poll = polling(d, message_template="~text~",
                           header_template=f"{n}:")
            if n % 50 == 0 or n > 1000:
                assert poll.get("a.b1").body == b"%d:x" % n
            else:
                assert poll.ask("OPTIONS", "a").status == 200


# Precedence

BLOCKS = """
location "/a" {
	push_stream_header_template = "[a]"
	push_stream_footer_template = "[/a]"
}
location "/a/b" {
	push_stream_header_template = "[a/b]"
	push_stream_subscriber = polling
	push_stream_channels_path = "$arg_id"
}
"""


@pytest.mark.parametrize("uri, settings, body", [
    ("/", {}, "[global]x"),
    ("/a", {}, "[a]x[/a]"),
    ("/abc", {}, "[a]x[/a]"),
    # The longest prefix wins, as a whole.
    ("/a/b", {}, "[a/b]x"),
    ("/", {"header_template": "[p]"}, "[p]x"),
    ("/a", {"header_template": "[p]"}, "[p]x[/a]"),
    ("/a", {"header_template": ""}, "x[/a]"),
    ("/a", {"footer_template": "", "header_template": ""}, "x"),
])
def test_precedence(make_daemon, uri, settings, body):
    """Default, global, location block, parameter: each setting by itself; a
    parameter that is there but empty counts."""
    d = make_daemon(push_stream_header_template="[global]", more=BLOCKS)
    publisher(d).post("x", b"x")
    settings = {"subscriber": "polling", **settings}
    for gateway in GATEWAYS:
        poll = Location(d, gateway, uri, **settings)
        assert poll.get("x.b1").body.decode() == body


@pytest.mark.parametrize("params", [
    {"DOCUMENT_URI": "/a/b/c"},
    {"SCRIPT_NAME": "/a/b", "PATH_INFO": "/c"},
    {"SCRIPT_NAME": "/a", "PATH_INFO": "/b"},
    {"DOCUMENT_URI": "/a/b", "SCRIPT_NAME": "/other"},
])
def test_location_block_alone(make_daemon, params):
    """A bare fastcgi_pass is enough; Apache and lighttpd give the URI in two
    parts."""
    d = make_daemon(more=BLOCKS)
    publisher(d).post("x", b"x")
    request = {"REQUEST_METHOD": "GET", "QUERY_STRING": "id=x.b1", **params}
    with d.connect() as c:
        c.send(conftest.wire.fastcgi(request))
        assert c.answer().body == b"[a/b]x"


def test_variables(make_daemon):
    """In holdfast.conf they are expanded for every request."""
    d = make_daemon(more="""
location "/v" {
	push_stream_subscriber = polling
	push_stream_channels_path = '$arg_id${http_x_more}.b1'
	push_stream_allowed_origins = "$$ $remote_addr $request_method $uri $host"
	push_stream_last_received_message_time = "$arg_time if_not_empty"
	push_stream_last_received_message_tag = "$arg_tag"
}
location "/w" {
	push_stream_subscriber = polling
	push_stream_channels_path = "$arg_id"
	push_stream_last_received_message_time = "$arg_time if_not_empty"
}
""")
    publisher(d).post("one/two", b"x")
    v, w = Location(d, uri="/v"), Location(d, uri="/w")
    a = v.ask("GET", None, query="ID=o&id=two", HTTP_X_MORE="ne",
              HTTP_HOST="h:80", REMOTE_ADDR="192.0.2.1")
    assert a.body == b"x"
    assert (a.header("Access-Control-Allow-Origin") ==
            "$ 192.0.2.1 GET /v h:80")
    assert w.ask("GET", None, query="id=two", **SINCE_EVER).status == 200
    assert w.ask("GET", None, query="id=two&time=", **SINCE_EVER).status == 200
    assert w.ask("GET", None, query="id=two&time=x",
                 **SINCE_EVER).status == 304


def test_nothing_is_expanded_twice(daemon):
    """What the front has expanded comes from a client: variables in it are
    letters.  Otherwise `?CHANNEL_ID=$http_cookie` would be somebody's."""
    secret, named = new_channel(), "$arg_x" + new_channel()
    publisher(daemon).post(secret, b"secret")
    pub = publisher(daemon)
    a = pub.ask("POST", named, b"x", query="x=" + secret)
    assert f'"channel": "{named}"'.encode() in a.body
    a = pub.ask("POST", named + "$x${y}$", b"x")
    assert a.status == 200
    for fields in ({"HTTP_HOLDFAST_EXPAND": "on"},
                   {"holdfast_expand": "off"}, {"HOLDFAST_EXPAND": "on"},
                   {"holdfast_expand": ""}):
        a = polling(daemon).ask("GET", "$arg_x.b1", query="x=" + secret,
                                **fields)
        assert a.status == 304


def test_expansion_by_request_of_the_front(daemon):
    """For fronts that have no variables; and then once, not twice."""
    ch = new_channel()
    publisher(daemon).post(ch, b"x")
    poll = polling(daemon, message_template="~text~",
                   allowed_origins="$http_origin")
    poll.more = {"holdfast_expand": "on"}
    a = poll.ask("GET", "$arg_id.b1", query="id=" + ch,
                 HTTP_ORIGIN="http://a")
    assert a.body == b"x"
    assert a.header("Access-Control-Allow-Origin") == "http://a"
    # A variable that came out of a variable stays what it is.
    a = poll.ask("GET", "$arg_id.b1", query=f"id=$arg_x&x={ch}")
    assert a.status == 304
    a = poll.ask("GET", "$arg_id.b1", query="id=" + ch,
                 HTTP_ORIGIN="http://a%0d%0aX-Evil: 1")
    assert a.status == 200 and b"Evil" not in a.raw
    assert poll.get("$nonsense").status == 500
    # Literal settings know no variables.
    poll = poll.but(header_template="$arg_id ")
    poll.more = {"holdfast_expand": "on"}
    assert poll.get(ch + ".b1").body == b"$arg_id x"


def test_headers_set_nothing(daemon):
    """A client's header arrives as HTTP_*, whatever its name."""
    a = polling(daemon).get(new_channel(), HTTP_PUSH_STREAM_COMPAT="9",
                            HTTP_PUSH_STREAM_ALLOWED_ORIGINS="*",
                            PUSH_STREAM_COMPAT="9")
    assert a.status == 304
    assert a.header("Access-Control-Allow-Origin") is None


# The built-in layout

ID = "0123456789abcdef0123456789abcdef"


def bitrix(daemon, gateway, path):
    return Location(daemon, gateway, uri="/bitrix/" + path)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_bitrix_layout(make_daemon, gateway):
    """Publish, wait, and replay by tag and time without one parameter."""
    d = make_daemon()
    pub, sub = bitrix(d, gateway, "pub/"), bitrix(d, gateway, "sub")
    a = sub.ask("GET", None, query="CHANNEL_ID=" + ID)
    check_head(a, 403, (EXPLAIN, "Subscriber could not create channels."),
               *EMPTY, *NO_CACHE, *cors("GET"))
    a = pub.ask("POST", None, b'{"n":1}', query="CHANNEL_ID=" + ID)
    assert b'"published_messages": "1"' in a.body
    reader = sub.start("GET", None, query=f"CHANNEL_ID={ID}/{ID}&tag=&time=")
    d.wait_for(parked=1)
    pub.ask("PUT", None, b'{"n":2}', query="channel_id=" + ID)
    a = reader.answer()
    date, tag = a.header("Last-Modified"), a.header("Etag")
    check_head(a, 200, ("Content-Type", "text/html"), ("Etag", tag),
               ("Last-Modified", date), *NO_CACHE, *cors("GET"))
    assert a.body.decode() == (
        f'#!NGINXNMS!#{{"id":2,"channel":"{ID}","tag":"{tag}","time":"{date}"'
        f',"eventid":"","text":{{"n":2}}}}#!NGINXNME!#')
    pub.ask("POST", None, b"3", query="CHANNEL_ID=" + ID)
    time = date.replace(" ", "%20").replace(",", "%2C")
    a = sub.ask("GET", None, query=f"CHANNEL_ID={ID}&tag={tag}&time={time}")
    assert a.body.endswith(b'"text":3}#!NGINXNME!#')
    assert a.body.count(b"NGINXNMS") == 1
    # Without time the header counts, the tag is the query's all the same.
    a = sub.ask("GET", None, query=f"CHANNEL_ID={ID}&tag={tag}",
                HTTP_IF_MODIFIED_SINCE=date, HTTP_IF_NONE_MATCH="0")
    assert a.body.endswith(b'"text":3}#!NGINXNME!#')
    a = pub.ask("DELETE", None, query="CHANNEL_ID=" + ID)
    check_head(a, 200, (EXPLAIN, "Channel deleted."), *EMPTY, *NO_CACHE)
    for method in "GET", "DELETE":
        assert pub.ask(method, None, query="CHANNEL_ID=" + ID).status == 404


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_bitrix_refusals(daemon, gateway):
    pub = bitrix(daemon, gateway, "pub/")
    sub = bitrix(daemon, gateway, "sub")
    for location, more in [(pub, []), (sub, cors("GET"))]:
        a = location.ask("GET", None, query=f"CHANNEL_ID={ID}x")
        check_head(a, 400, (EXPLAIN, "Channel id is too large."), *EMPTY,
                   *NO_CACHE, *more)
        a = location.ask("GET", None, query="id=" + ID)
        check_head(a, 400, (EXPLAIN, "No channel id provided."), *EMPTY,
                   *NO_CACHE, *more)
        for callback in "callback=f", "Callback=0":
            a = location.ask("GET", None, query=f"CHANNEL_ID={ID}&{callback}")
            assert a.status == 400 and a.body == b""
        a = location.ask("GET", None, query=f"CHANNEL_ID={ID}&callback=")
        assert a.status != 400
    # No handshake.
    assert bitrix(daemon, gateway, "subws/").ask(
        "GET", None, query="CHANNEL_ID=" + ID).status == 400
    for path in "pub", "other", "":
        assert bitrix(daemon, gateway, path).ask(
            "POST", None, b"x", query="CHANNEL_ID=" + ID).status == 404


@pytest.mark.parametrize("publish_from, allowed, refused", [
    (None, ["127.0.0.1", "127.9.9.9", "::1"],
     ["192.0.2.1", "128.0.0.1", "::2", "", "localhost", "127.0.0.1x"]),
    (["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.77", "2001:db8::5"],
     ["127.0.0.1", "192.0.3.1", "2001:db9::"]),
    ([], [], ["127.0.0.1"]),
])
def test_publish_from(make_daemon, publish_from, allowed, refused):
    """Of the built-in publisher; readers come from anywhere."""
    more = {} if publish_from is None else {"publish_from": publish_from}
    d = make_daemon(**more)
    for gateway in GATEWAYS:
        pub = bitrix(d, gateway, "pub/")
        for address in allowed + refused:
            for method in "POST", "GET", "DELETE":
                a = pub.ask(method, None, b"x", query="CHANNEL_ID=" + ID,
                            REMOTE_ADDR=address)
                assert (a.status == 200) == (address in allowed), address
                if address in refused:
                    assert a.status == 403 and a.header(EXPLAIN)
        # The web server guards what it names itself.
        a = publisher(d, gateway).ask("POST", "a", b"x", REMOTE_ADDR="9.9.9.9")
        assert a.status == 200
        a = bitrix(d, gateway, "sub").ask(
            "GET", None, query="CHANNEL_ID=" + ID, REMOTE_ADDR="9.9.9.9")
        assert a.header(EXPLAIN) == "Subscriber could not create channels."


def test_settings_lie_over_the_layout(make_daemon):
    """Global settings and parameters change it; naming an endpoint ends
    it."""
    d = make_daemon(push_stream_header_template="H",
                    push_stream_max_channel_id_length=5)
    bitrix(d, "fastcgi", "pub/").ask("POST", None, b"x", query="CHANNEL_ID=c")
    sub = bitrix(d, "fastcgi", "sub")
    sub.settings = {"footer_template": "F", "message_template": "~text~"}
    assert sub.ask("GET", None, query="CHANNEL_ID=c.b1").body == b"HxF"
    a = sub.ask("GET", None, query="CHANNEL_ID=abcdef")
    assert a.header(EXPLAIN) == "Channel id is too large."
    # Now it is a publisher of our own, with no path of the layout's.
    sub.settings = {"publisher": ""}
    a = sub.ask("GET", None, query="CHANNEL_ID=c", REMOTE_ADDR="192.0.2.1")
    assert a.header(EXPLAIN) == "No channel id provided."


# holdfastd -t and -T

def check(path, *options):
    return subprocess.run([conftest.HOLDFASTD, *options, "-c", str(path)],
                          capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("text, line, words", [
    ("nonsense = 1", 1, ["nonsense"]),
    ("\n\nsync = half", 3, ["sync", "full, normal, off"]),
    ("push_stream_message_ttl = 0", 1, ["cannot be zero"]),
    ("push_stream_message_ttl = soon", 1, ["message_ttl"]),
    ("push_stream_nonsense = 1", 1, ["push_stream_nonsense"]),
    ("client_max_body_size = 1x", 1, ["client_max_body_size", "1x"]),
    ('fastcgi = {"unix:relative"}', 1, ["unix:relative"]),
    ('fastcgi = {"nohost"}', 1, ["nohost"]),
    ('control = {"127.0.0.1:1"}', 1, ["control"]),
    ('fronts = {"10.0.0.0/33"}', 1, ["10.0.0.0/33"]),
    ('publish_from = {"here"}', 1, ["here"]),
    ("socket_mode = 0999", 1, ["socket_mode"]),
    ("log_level = loud", 1, ["log_level"]),
    ('location "/a" {\n\tpush_stream_message_ttl = 5\n}', 2, ["store-wide"]),
    ('location "/a" {\n\tnonsense = 5\n}', 2, ["nonsense"]),
    ('location "/a" {\n\tpush_stream_subscriber = x\n}', 2, ["subscriber"]),
    ('location "a" {\n}', None, ["slash"]),
    ('push_stream_header_template_file = "/nonexistent/x"', 1,
     ["/nonexistent/x", "No such file"]),
    ("push_stream_wildcard_channel_max_qtd = 2", None, ["prefix"]),
    ("replay_messages = 0", None, ["replay_messages"]),
    ("sync =", None, []),
    ('location "/a" {}\n}', 2, []),
])
def test_wrong_file(tmp_path, text, line, words):
    """-t says what is wrong, with file and line; nothing starts with it."""
    path = tmp_path / "holdfast.conf"
    path.write_text(text + "\n")
    for options in ["-t"], ["-T"], []:
        result = check(path, *options)
        assert result.returncode == 1
        assert str(path) in result.stderr
        if line:
            assert f"{path}:{line}: " in result.stderr
        for word in words:
            assert word in result.stderr
        assert result.stdout == ""


def test_missing_file(tmp_path):
    result = check(tmp_path / "none", "-t")
    assert result.returncode == 1
    assert f"{tmp_path}/none" in result.stderr
    assert "No such file" in result.stderr


def test_right_file(tmp_path):
    path = tmp_path / "holdfast.conf"
    path.write_text("# nothing\n")
    result = check(path, "-t")
    assert (result.returncode, result.stdout) == (0, "")
    assert "right" in result.stderr


def test_dump(tmp_path):
    """-T shows every setting in force, in words that the file understands:
    what it prints is a file with the same settings."""
    path = tmp_path / "holdfast.conf"
    (tmp_path / "head").write_text("from a file\n")
    path.write_text(f"""
sync = normal
fastcgi = {{"unix:/a b", "127.0.0.1:9"}}
publish_from = {{}}
client_max_body_size = 2m
request_timeout = "1m 1s"
socket_mode = 0600
push_stream_message_ttl = 2h
push_stream_header_template_file = "{tmp_path}/head"
push_stream_message_template = "\\"~text~\\\\ \\${{x}}\\n"
location "/a" {{
	push_stream_channels_path = "$arg_id"
	push_stream_subscriber = "long-polling"
}}
""")
    first = check(path, "-T")
    assert (first.returncode, first.stderr) == (0, "")
    shown = first.stdout
    for line in ('sync = normal', 'fastcgi = {"unix:/a b", "127.0.0.1:9"}',
                 'publish_from = {}', 'client_max_body_size = 2097152',
                 'request_timeout = 61000ms', 'socket_mode = 0600',
                 'push_stream_message_ttl = "7200"',
                 'push_stream_max_number_of_channels = "200000"',
                 'push_stream_max_messages_stored_per_channel = "1000"',
                 'push_stream_channel_inactivity_time = "30000ms"',
                 'replay_messages = 1000', 'log_level = notice'):
        assert line in shown.splitlines(), shown
    again = tmp_path / "again.conf"
    again.write_text(shown)
    second = check(again, "-T")
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == shown


def test_defaults(tmp_path):
    """The limits of the vendor's configuration are the documented ones."""
    path = tmp_path / "holdfast.conf"
    path.write_text("")
    shown = check(path, "-T").stdout.splitlines()
    for line in ('push_stream_message_ttl = "86400"',
                 'push_stream_max_number_of_channels = "200000"',
                 'push_stream_max_messages_stored_per_channel = "1000"',
                 'push_stream_compat = "0.6.0"', 'sync = full',
                 'client_max_body_size = 1048576',
                 'fastcgi = {"unix:/run/holdfast/fastcgi.sock"}',
                 'publish_from = {"127.0.0.0/8", "::1/128"}'):
        assert line in shown


@pytest.mark.parametrize("options, status", [
    (["-V"], 0), (["-h"], 0), (["-x"], 2), (["extra"], 2)])
def test_options(options, status):
    result = subprocess.run([conftest.HOLDFASTD, *options],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == status
    assert (result.stdout if status == 0 else result.stderr)
