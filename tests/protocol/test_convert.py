"""holdfastctl convert: what it makes of a configuration for the module is
accepted by a stock nginx and by holdfastd, means the same, and leaves alone
what is not the module's."""

import os
import pathlib
import shutil
import socket
import subprocess
import urllib.request

import pytest

import conftest
from front import wait_until

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "convert"
SPLIT = "\n# ---- holdfast.conf ----\n"
TEMPS = "client_body proxy fastcgi uwsgi scgi".split()


def run(folder, *words, binary=False):
    """The command with these words; a sanitizer must have nothing to say."""
    env = dict(os.environ)
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":exitcode=99"
    env["UBSAN_OPTIONS"] = env.get("UBSAN_OPTIONS", "") + ":exitcode=99"
    r = subprocess.run([conftest.HOLDFASTCTL, "convert", *map(str, words)],
                       cwd=folder, env=env, capture_output=True,
                       timeout=60)
    r.stdout = r.stdout if binary else r.stdout.decode()
    r.stderr = r.stderr.decode()
    assert "Sanitizer" not in r.stderr, r.stderr
    assert "runtime error" not in r.stderr, r.stderr
    return r


def convert(folder, text, *options, status=0, name="site.conf"):
    """nginx's part, holdfast.conf, and what was said."""
    (folder / name).write_text(text)
    r = run(folder, *options, name)
    assert r.returncode == status, r.stderr
    if status == 1:
        assert r.stdout == ""
        return None, None, r.stderr
    nginx, conf = r.stdout.split(SPLIT)
    return nginx, conf, r.stderr


@pytest.fixture(scope="session")
def nginx():
    path = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if path is None or not os.path.exists("/etc/nginx/scgi_params"):
        pytest.skip("there is no nginx")
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl(1)")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, capture_output=True)
    return folder


def main_file(folder, inside):
    """A whole nginx.conf that touches nothing outside the folder."""
    temps = "".join(f"    {t}_temp_path {folder}/{t};\n" for t in TEMPS)
    return (f"pid {folder}/pid;\nevents {{ }}\nhttp {{\n"
            f"    access_log off;\n{temps}{inside}}}\n")


@pytest.fixture
def check_nginx(nginx, certificate, tmp_path_factory):
    """nginx -t on a file for http {}, or on a folder with an nginx.conf."""
    def check(text=None, folder=None):
        if folder is None:
            folder = tmp_path_factory.mktemp("nginx")
            (folder / "site.conf").write_text(text)
            (folder / "nginx.conf").write_text(
                main_file(folder, "    include site.conf;\n"))
        for name in ("fastcgi_params", "scgi_params"):
            shutil.copy("/etc/nginx/" + name, folder)
        for name in ("cert.pem", "key.pem"):
            shutil.copy(certificate / name, folder)
        r = subprocess.run([nginx, "-t", "-p", folder, "-c",
                            folder / "nginx.conf", "-e", "stderr"],
                           capture_output=True, text=True, timeout=30)
        assert r.returncode == 0, r.stderr
    return check


def check_conf(folder, text):
    path = folder / "made-holdfast.conf"
    path.write_text(text)
    r = subprocess.run([conftest.HOLDFASTD, "-t", "-c", path],
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 0, r.stdout + r.stderr


@pytest.fixture
def both(tmp_path, check_nginx):
    """Convert and have both parts checked."""
    def go(text, *options, status=0):
        made, conf, said = convert(tmp_path, text, *options, status=status)
        check_nginx(made)
        check_conf(tmp_path, conf)
        return made, conf, said
    return go


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def location(text, head):
    """The lines of one location."""
    all_lines = text.splitlines()
    start = next(i for i, line in enumerate(all_lines)
                 if line.strip().startswith("location " + head))
    indent = len(all_lines[start]) - len(all_lines[start].lstrip())
    end = next(i for i in range(start + 1, len(all_lines))
               if all_lines[i].startswith(all_lines[start][:indent] + "}"))
    return lines("\n".join(all_lines[start + 1:end]))


# What administrators have

@pytest.mark.parametrize("name, options, status", [
    ("bitrix-0.3.4.conf", [], 0),
    ("bitrix-0.4.0.conf", ["--compat", "0.4.0"], 0),
    ("modes.conf", [], 0),
])
def test_fixtures(tmp_path, check_nginx, name, options, status):
    shutil.copytree(FIXTURES, tmp_path / "in")
    out = tmp_path / "out"
    r = run(tmp_path / "in", *options, "-o", out, name)
    assert r.returncode == status, r.stderr
    assert r.stdout == ""
    for line in r.stderr.splitlines():
        assert ": note: " in line
    (out / "nginx.conf").write_text(
        main_file(out, f"    include {name};\n"))
    check_nginx(folder=out)
    check_conf(tmp_path, (out / "holdfast.conf").read_text())


def test_bitrix_040(tmp_path):
    """The shipped file's parameters, by machine."""
    r = run(FIXTURES, "--compat", "0.4.0", "bitrix-0.4.0.conf")
    shipped = (FIXTURES.parent.parent / "nginx-examples" / "bx" / "conf" /
               "im_subscrider.conf").read_text()
    for line in location(shipped, "^~ /bitrix/sub "):
        # One wrote quotes, where the other has none.
        if (line.startswith("fastcgi_") and "content_type" not in line):
            assert (line in location(r.stdout, "^~ /bitrix/sub ") or
                    line.replace("$arg_time", '"$arg_time"') in
                    location(r.stdout, "^~ /bitrix/sub ")), line
    ws = location(r.stdout, "^~ /bitrix/subws/")
    assert "scgi_param push_stream_subscriber websocket;" in ws
    assert "scgi_pass unix:/run/holdfast/scgi.sock;" in ws
    assert not [line for line in ws if line.startswith("fastcgi")]
    pub = location(r.stdout, "^~ /bitrix/pub/")
    assert "fastcgi_param push_stream_compat 0.4.0;" in pub
    assert "fastcgi_pass holdfast;" in pub
    assert "fastcgi_ignore_client_abort on;" in pub
    assert lines(r.stdout.split(SPLIT)[1])[-4:] == [
        'push_stream_max_messages_stored_per_channel = "1000"',
        'push_stream_max_channel_id_length = "32"',
        'push_stream_max_number_of_channels = "200000"',
        'push_stream_message_ttl = "86400"']


def test_bitrix_034():
    r = run(FIXTURES, "bitrix-0.3.4.conf")
    sub = location(r.stdout, "^~ /bitrix/sub ")
    assert "fastcgi_param push_stream_compat 0.3.4;" in sub
    assert "fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;" in sub
    pub = location(r.stdout, "^~ /bitrix/pub/")
    assert "fastcgi_param push_stream_channel_id $arg_CHANNEL_ID;" in pub
    assert "# push_stream_keepalive off;" in pub
    ws = location(r.stdout, "^~ /bitrix/subws/")
    assert "scgi_param push_stream_websocket on;" in ws
    # Escapes and line end as they were.
    assert ('"#!NGINXNMS!#{\n                    \\"id\\":~id~,'
            in r.stdout)


def test_modes():
    """Inheritance, timeouts, buffering, the literal dollar."""
    r = run(FIXTURES, "modes.conf")
    made, conf = r.stdout.split(SPLIT)
    template = ('fastcgi_param push_stream_message_template '
                '"{\\"id\\":~id~,\\"price\\":\\"${dollar}~text~\\"}";')
    for head in "/pub", "/stats", "~ ^/stream", "~ \"^/ev", "= /poll", "^~ /lp":
        assert template in location(made, head), head
        assert "fastcgi_param push_stream_compat 0.6.0;" in location(
            made, head)
    assert lines(made)[:4] == ["# For a literal $ in a parameter.",
                               "geo $dollar {", 'default "$";', "}"]
    stream = location(made, "~ ^/stream")
    assert "fastcgi_param push_stream_subscriber streaming;" in stream
    assert "fastcgi_param push_stream_channels_path $1; # by name" in stream
    assert ("fastcgi_param push_stream_content_type application/json;"
            in stream)
    assert "fastcgi_buffering off;" in stream
    assert "fastcgi_read_timeout 90s;" in stream
    events = location(made, '~ "^/ev')
    assert "fastcgi_param push_stream_content_type text/html;" in events
    lp = location(made, "^~ /lp/")
    assert "fastcgi_read_timeout 5450s;" in lp
    assert "gzip off;" in lp
    assert 'fastcgi_param push_stream_allowed_origins "http://$host";' in lp
    poll = location(made, "= /poll")
    assert ("fastcgi_param push_stream_last_received_message_tag $arg_tag "
            "if_not_empty;") in poll
    assert ("fastcgi_param push_stream_last_received_message_time $arg_time "
            "if_not_empty;") in poll
    assert "# from a script" in poll
    assert not [line for line in poll if line.startswith("if")]
    ws = location(made, "/ws/")
    assert "scgi_param push_stream_websocket_allow_publish on;" in ws
    assert "fastcgi_buffering off;" not in ws
    assert conf.endswith("""
push_stream_wildcard_channel_prefix = "broad_"
push_stream_ping_message_text = "still \\"here\\"\\n"
push_stream_channel_deleted_message_text = "a \\${b} c"
# The module's default; Holdfast's own is a day.
push_stream_message_ttl = "30m"
# Without limit in the module; Holdfast's own is 1000.
push_stream_max_messages_stored_per_channel = 4294967295
# Without limit in the module; Holdfast's own is 200000.
push_stream_max_number_of_channels = 4294967295
""")


SERVED = """
push_stream_message_template "<~id~> \\"$~text~\\"\\t'${x}'\n~channel~";
default_type text/x-moved;
server {
    listen 127.0.0.1:PORT;
    push_stream_channels_path $arg_id;
    location /pub { push_stream_publisher; push_stream_store_messages on; }
    location /poll {
        push_stream_subscriber polling;
        push_stream_last_received_message_time "Thu, 01 Jan 1970 00:00:00 GMT";
        push_stream_last_received_message_tag 0;
    }
}
"""


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_it_serves(tmp_path, nginx, make_daemon):
    """A message goes through a converted configuration, and its template
    arrives as the module had it: nginx expands none of its dollars."""
    d = make_daemon()
    port = conftest.free_port()
    made, _, _ = convert(tmp_path, SERVED.replace("PORT", str(port)))
    out = tmp_path / "out"
    out.mkdir()
    for name in ("fastcgi_params", "scgi_params"):
        shutil.copy("/etc/nginx/" + name, out)
    (out / "site.conf").write_text(
        made.replace("/run/holdfast/fastcgi.sock", d.fastcgi))
    (out / "nginx.conf").write_text(
        ("user root;\n" if os.geteuid() == 0 else "") + "daemon off;\n" +
        main_file(out, "    include site.conf;\n"))
    front = subprocess.Popen([nginx, "-p", out, "-c", out / "nginx.conf",
                              "-e", out / "error.log"])
    try:
        wait_until(listens, port)
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(url + "/pub?id=a", b"body") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(url + "/poll?id=a") as answer:
            assert answer.read() == b"<1> \"$body\"\t'${x}'\na"
            assert answer.headers["Content-Type"] == "text/x-moved"
            assert answer.headers["Etag"] == "W/1"
    finally:
        front.terminate()
        front.wait()


# Nothing else changes

UNTOUCHED = """# A site.\r
map $http_x $y { default 'a;b'; "~^a{2}" "\\"q\\" # no"; }
log_format  odd  '$remote_addr "$request" \\'x\\' {';
\tserver{listen 127.0.0.1:1;location ~ "a{1,2}" {return 200 "#;}\\n";}# c
   # push_stream_subscriber is not meant here
}
"""


def test_untouched(both):
    """Bytes, comments, blanks and line ends of what is not the module's."""
    made, conf, said = both(UNTOUCHED)
    assert made == UNTOUCHED
    assert said == ""
    assert "push_stream" not in conf


def test_one_line(both):
    """Comments of our own do not swallow what follows them."""
    made, _, _ = both(
        "push_stream_message_ttl 1h; push_stream_max_channel_id_length 9; "
        "server { push_stream_store_messages on; listen 127.0.0.1:1; "
        "location /p { push_stream_channels_path $arg_id; "
        "push_stream_publisher; } location /q { return 200; } }\n")
    assert "location /q { return 200; } }" in made
    assert "fastcgi_param push_stream_store_messages on;" in made
    assert "fastcgi_param push_stream_publisher normal;" in made
    assert made.count("listen 127.0.0.1:1;") == 1


def test_own_lines_are_kept(both, tmp_path):
    """A gateway's line that is there is not written twice."""
    (tmp_path / "fastcgi_params").write_text("")
    made, _, _ = both("""
server { listen 127.0.0.1:1;
    location /sub {
        include fastcgi_params;
        gzip on;
        fastcgi_read_timeout 5m;
        push_stream_subscriber long-polling;
        push_stream_channels_path $arg_id;
    }
}
""")
    sub = location(made, "/sub")
    assert sub.count("include fastcgi_params;") == 1
    assert "gzip off;" not in sub
    assert "fastcgi_read_timeout 90s;" not in sub


# What somebody has to look at

SERVER = "server {\n    listen 127.0.0.1:1;\n    %s\n}\n"
POLL = ("push_stream_subscriber long-polling; "
        "push_stream_channels_path $arg_id;")


@pytest.mark.parametrize("text, line, words", [
    # another if
    (SERVER % ("location /s { " + POLL + """
        if ($http_x = "1") { push_stream_last_received_message_tag 5; }
    }"""), 4, "inside if"),
    # a value is there already
    (SERVER % ("location /s { " + POLL + """
        push_stream_last_received_message_tag 1;
        if ($arg_tag) { push_stream_last_received_message_tag $arg_tag; }
    }"""), 5, "inside if"),
    # it tests one variable and takes another
    (SERVER % ("location /s { " + POLL + """
        if ($arg_a) { push_stream_last_received_message_tag $arg_b; }
    }"""), 4, "inside if"),
    (SERVER % "if ($arg_x) { push_stream_store_messages on; }", 3,
     "inside if"),
    (SERVER % "push_stream_nonsense on;", 3, "push_stream_nonsense is no"),
    (SERVER % "push_stream_publisher;", 3, "in a location only"),
    (SERVER % "location /s { push_stream_subscriber sometimes; }", 3,
     '"sometimes" is no mode'),
    (SERVER % "location /s { push_stream_subscriber polling; }", 3,
     "no push_stream_channels_path"),
    (SERVER % ("location /s { " + POLL + " push_stream_publisher; }"), 3,
     "one thing only"),
    (SERVER % ("location ~ \\.json$ { " + POLL + " }"), 3,
     "content type by the extension"),
    (SERVER % ("location ~ /s { " + POLL +
               " push_stream_header_template_file /etc/hostname; }"), 3,
     "header file"),
    (SERVER % ("location /s { " + POLL +
               " push_stream_store_messages on off; }"), 3,
     "takes one value"),
    ("include /usr/lib/nginx/none.conf*;\n", 1, "outside"),
    ("include ../none.conf*;\n", 1, "outside"),
    ("upstream holdfast { server 127.0.0.1:1; }\n" +
     SERVER % "location /p { push_stream_publisher; "
     "push_stream_channels_path $arg_id; }", 1, "the name"),
], ids=range(15))
def test_eye(both, text, line, words):
    """Said with its place, status 3, and nothing of it is left in force."""
    made, _, said = both(text, status=3)
    assert f"site.conf:{line}: " in said
    assert words in said
    for made_line in lines(made):
        assert not made_line.startswith("push_stream_")


def test_old_variable_elsewhere(tmp_path):
    _, _, said = convert(tmp_path, SERVER % """location /s {
        set $push_stream_channels_path $arg_id; push_stream_subscriber;
        add_header X-Channel $push_stream_channels_path;
    }""", status=3)
    assert "site.conf:5: a variable of the module's" in said


def test_server_fragment(tmp_path):
    """What belongs into http cannot stand in a file for server."""
    made, _, said = convert(
        tmp_path, "location /p { push_stream_publisher; "
        "push_stream_channels_path $arg_id; }\n", status=3)
    assert "site.conf:1: this file belongs into a server" in said
    assert not made.startswith("upstream")
    assert "# upstream holdfast {" in made


def test_old_names_share_a_server(both):
    """0.3.x: publishers and subscribers looked at different variables."""
    made, _, _ = both(SERVER % """
    set $push_stream_channel_id $arg_a;
    set $push_stream_channels_path $arg_b;
    location /p { push_stream_publisher; }
    location /s { push_stream_subscriber; push_stream_eventsource_support on; }
    """)
    p, s = location(made, "/p"), location(made, "/s")
    assert "fastcgi_param push_stream_channel_id $arg_a;" in p
    assert "fastcgi_param push_stream_channels_path $arg_b;" in s
    assert not [x for x in p if "channels_path" in x]
    assert not [x for x in s if "channel_id" in x]
    assert "fastcgi_buffering off;" in s


def test_header_file(both, tmp_path):
    """It moves to holdfast.conf, with its location."""
    header = tmp_path / "header.html"
    header.write_text("<html>")
    made, conf, _ = both(SERVER % f"""
    push_stream_header_template_file {header};
    push_stream_channels_path $arg_id;
    location ^~ /s/ {{ push_stream_subscriber; }}
    location /own {{ push_stream_subscriber; push_stream_header_template x; }}
    """)
    assert (f'location "/s/" {{\n\tpush_stream_header_template_file = '
            f'"{header}"\n}}\n') in conf
    assert "/own" not in conf
    assert "fastcgi_param push_stream_header_template_file" not in made
    assert "fastcgi_param push_stream_header_template x;" in made


@pytest.mark.parametrize("size, made, status", [
    ("32k", None, 0), ("1m", None, 0), ("8M", "8388608", 0),
    ("32m", "33554432", 0), ("33m", "33554432", 3), ("0", "33554432", 3)])
def test_body_size(both, size, made, status):
    """What nginx let in, Holdfast takes; the largest one wins."""
    _, conf, said = both(f"client_max_body_size {size};\n" + SERVER % """
    push_stream_channels_path $arg_id;
    location /a { push_stream_publisher; }
    location /b { push_stream_publisher; client_max_body_size 2; }
    location /c { push_stream_subscriber; client_max_body_size 31m; }
    """, status=status)
    assert ("at most 32m" in said) == (status == 3)
    if made is None:
        assert "client_max_body_size" not in conf
    else:
        assert f'client_max_body_size = "{made}"\n' in conf


def test_two_header_files_of_one_prefix(both, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    _, conf, said = both("".join(SERVER.replace(":1;", f":{i};") % (
        f"location /s {{ {POLL} push_stream_header_template_file "
        f"{tmp_path}/{name}; }}") for i, name in enumerate("ab", 1)),
        status=3)
    assert "another header file" in said
    assert conf.count("location") == 1


# Files

def tree(folder):
    """A whole configuration in several files."""
    (folder / "conf.d").mkdir()
    (folder / "modules").mkdir()
    (folder / "nginx.conf").write_text(
        "include modules/*.conf;\ninclude none/*.conf;\n" +
        main_file("/nonexistent", "    include settings.conf;\n"
                  "    include conf.d/*.conf;\n").replace(
                      "/nonexistent", str(folder.parent / "out")))
    (folder / "modules" / "push.conf").write_text(
        "# load_module modules/ngx_http_push_stream_module.so;\n")
    (folder / "settings.conf").write_text(
        "push_stream_shared_memory_size 1M;\n"
        "push_stream_channels_path $arg_id; # for all\n")
    (folder / "conf.d" / "a.conf").write_text(
        SERVER % "include sub.conf;")
    (folder / "conf.d" / "b.conf").write_text(
        SERVER.replace(":1;", ":2;") %
        "include sub.conf; location /p { push_stream_publisher; }")
    (folder / "sub.conf").write_text(
        "location /s {\n    push_stream_subscriber polling;\n}\n")
    return folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tree(tmp_path / "in")


def test_tree(folder, check_nginx):
    """Includes are followed; what is inherited goes through them."""
    out = folder.parent / "out"
    r = run(folder.parent, "-o", "out", "in/nginx.conf")
    assert r.returncode == 0, r.stderr
    assert (sorted(str(p.relative_to(out)) for p in out.rglob("*.conf")) ==
            ["conf.d/a.conf", "conf.d/b.conf", "holdfast.conf",
             "modules/push.conf", "nginx.conf", "settings.conf", "sub.conf"])
    assert ("fastcgi_param push_stream_channels_path $arg_id;"
            in (out / "sub.conf").read_text())
    assert ("http {\n    # Connections that stay open"
            in (out / "nginx.conf").read_text())
    assert r.stderr.count("shared_memory_size") == 1
    assert r.stderr.startswith("in/settings.conf:1: note: ")
    check_nginx(folder=out)


def test_load_module(tmp_path):
    made, _, said = convert(
        tmp_path, "load_module modules/ngx_http_push_stream_module.so;\n"
        "load_module modules/other.so;\n")
    assert made.startswith("# load_module modules/ngx_http_push_stream")
    assert "\nload_module modules/other.so;" in made
    assert said == "site.conf:1: note: the module is not loaded any more\n"


def test_one_file_two_places(folder):
    """It can be written for one of them only."""
    (folder / "conf.d" / "b.conf").write_text(
        SERVER % "push_stream_user_agent x; include sub.conf;")
    r = run(folder, "nginx.conf")
    assert r.returncode == 3
    assert ("conf.d/b.conf:3: sub.conf would become something else here than "
            "where it is included on line 3 of conf.d/a.conf" in r.stderr)


def test_printed_files(folder):
    """Without -o, the main file and what changed."""
    r = run(folder, "nginx.conf")
    assert r.returncode == 0
    assert [line for line in r.stdout.splitlines()
            if line.startswith("# ---- ")] == [
                "# ---- settings.conf ----", "# ---- sub.conf ----",
                "# ---- conf.d/b.conf ----", "# ---- holdfast.conf ----"]


def test_never_overwrites(folder):
    out = folder.parent / "out"
    out.mkdir()
    (out / "sub.conf").write_text("mine")
    r = run(folder, "-o", out, "nginx.conf")
    assert r.returncode == 1
    assert "sub.conf: is there already; nothing was written" in r.stderr
    assert [p.name for p in out.iterdir()] == ["sub.conf"]
    assert (out / "sub.conf").read_text() == "mine"


def test_own_folder_is_never_written(folder):
    before = {p: p.read_text() for p in folder.rglob("*.conf")}
    r = run(folder, "-o", ".", "nginx.conf")
    assert r.returncode == 1
    assert before == {p: p.read_text() for p in folder.rglob("*.conf")}


# Errors

@pytest.mark.parametrize("text, place, words", [
    ("http {\n  server {\n    listen 1;\n  }\n", 1, '"http" is never closed'),
    ("a b;\nhttp {\n  server {\n", 3, '"server" is never closed'),
    ("a b;\n}\n", 2, 'unexpected "}"'),
    ("a {\n b c }\n", 2, 'unexpected "}"'),
    ("a b;\n;\n", 2, 'unexpected ";"'),
    ("a b;\n{\n", 2, 'unexpected "{"'),
    ("a b;\nc\n  d\n", 2, '"c" is ended by neither'),
    ('a b;\nc "d;\n\n}\n', 2, 'the quote " is never closed'),
    ("a 'it's';\n", 1, 'unexpected "s" after a quoted word'),
    ("a\n " + 65536 * "x" + ";\n", 2, "65536 bytes is too long"),
    ('a\n "' + 65536 * "x" + '";\n', 2, "65538 bytes is too long"),
    ("a b;\nc \0;\n", 2, "NUL byte"),
    ("a b;\ninclude none.conf;\n", 2, "none.conf: No such file or directory (includes are "
     "looked up from the main file's folder)"),
    ("include site.conf;\n", 1, "site.conf includes itself"),
    ("\ninclude ./sit?.conf;\n", 2, "site.conf includes itself"),
    ("include a b;\n", 1, "takes one file name"),
    ("include conf.d;\n", 1, "conf.d: Is a directory"),
    (101 * "a {\n" + 101 * "}", 101, "more than 100 deep"),
], ids=range(18))
def test_errors(tmp_path, text, place, words):
    """Where and what, status 1, and nothing is printed."""
    (tmp_path / "conf.d").mkdir()
    _, _, said = convert(tmp_path, text, status=1)
    assert said.startswith(f"site.conf:{place}: ")
    assert words in said
    assert len(said.splitlines()) == 1


def test_error_in_an_included_file(tmp_path):
    (tmp_path / "b.conf").write_text("c;\nd {\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "main.conf").write_text("\n")
    _, _, said = convert(tmp_path, "include b.conf;\n", status=1)
    assert said == 'b.conf:2: the block of "d" is never closed with }\n'


def test_files_that_include_each_other(tmp_path):
    (tmp_path / "a.conf").write_text("\ninclude site.conf;\n")
    _, _, said = convert(tmp_path, "include a.conf;\n", status=1)
    assert said == "a.conf:2: site.conf includes itself\n"


def test_includes_that_multiply(tmp_path):
    """2^20 files are refused, not read."""
    (tmp_path / "20.conf").write_text("")
    for i in range(20):
        (tmp_path / f"{i}.conf").write_text(2 * f"include {i + 1}.conf;\n")
    _, _, said = convert(tmp_path, "include 0.conf;\n", status=1)
    assert "one include too many" in said


def test_bytes_outside_ascii(tmp_path):
    data = b"# \xff\xfe\n" + "a \"привет\";\n".encode() + b"b '\x80';\n"
    (tmp_path / "site.conf").write_bytes(data)
    r = run(tmp_path, "site.conf", binary=True)
    assert r.returncode == 0
    assert r.stdout.startswith(data)


@pytest.mark.parametrize("words", [
    [], ["a", "b"], ["--compat", "0.5", "a"], ["--nonsense", "a"], ["-o"]])
def test_usage(tmp_path, words):
    r = run(tmp_path, *words)
    assert r.returncode == 2
    assert "usage: holdfastctl convert" in r.stderr


def test_unreadable(tmp_path):
    r = run(tmp_path, "none.conf")
    assert (r.returncode, r.stderr) == (
        1, "none.conf: No such file or directory\n")
