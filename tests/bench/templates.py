"""What the rig writes down: the configurations of nginx and Holdfast, and the
requests that clients send to nginx."""
import random

CHANNEL = "@" * 32  # the clients' mark for "a channel's name here"
SIGNATURE_KEY = "a key of the benchmarks"
PUBLISH_PATH = "/bitrix/pub/?CHANNEL_ID="
POLL_PATH = "/bitrix/sub/?CHANNEL_ID="
LIVE_PATH = "/live/?CHANNEL_ID="
DIRECT_PUB = "/direct/pub/?CHANNEL_ID="
DIRECT_SUB = "/direct/sub/?CHANNEL_ID="
DIRECT_LIVE = "/direct/live/?CHANNEL_ID="
DIRECT_WS = "/direct/ws/?CHANNEL_ID="
V4_PUB, V4_SUB = "/v4/pub/", "/v4/sub/"
WS_PATH = "/bitrix/subws/?CHANNEL_ID="
SSE_PATH = "/sse/?CHANNEL_ID="

NGINX_CONF = """\
%(modules)s
worker_processes 1;
worker_rlimit_nofile %(files)d;
daemon off;
%(user)s
pid nginx.pid;
error_log error.log warn;
events { worker_connections %(connections)d; }
http {
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path tmp;
    fastcgi_temp_path tmp;
    proxy_temp_path tmp;
    scgi_temp_path tmp;
    uwsgi_temp_path tmp;
%(sides)s}
"""
NGINX_RETURN = """\
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location / { return 200 "%(body)s"; }
    }
"""

# The publisher's and the subscribers' locations of the Bitrix layout, and an
# EventSource; with a publisher of its own for those who read streams.  Then
# those of Bitrix's own queue server, version 4.
NGINX_SIDE = """\
    upstream %(name)s {
        server unix:%(socket)s;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location ^~ /bitrix/pub/ {
            fastcgi_pass %(name)s;
            fastcgi_keep_conn on;
            fastcgi_ignore_client_abort on;
            include %(params)s;
            fastcgi_param push_stream_publisher admin;
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_store_messages on;
            allow 127.0.0.0/8;
            deny all;
        }
        location ^~ /bitrix/sub {
            if ($arg_callback) { return 400; }
            fastcgi_pass unix:%(socket)s;
            include %(params)s;
            fastcgi_param push_stream_subscriber long-polling;
            fastcgi_param push_stream_allowed_origins "*";
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_last_received_message_tag $arg_tag;
            fastcgi_param push_stream_last_received_message_time
                $arg_time if_not_empty;
            fastcgi_param push_stream_longpolling_connection_ttl 40;
            fastcgi_param push_stream_authorized_channels_only on;
            fastcgi_param push_stream_message_template '%(template)s';
        }
        location ^~ /live/ {
            fastcgi_pass %(name)s;
            fastcgi_keep_conn on;
            include %(params)s;
            fastcgi_param push_stream_publisher admin;
            fastcgi_param push_stream_channels_path $arg_CHANNEL_ID;
            fastcgi_param push_stream_store_messages off;
        }
        location ^~ /bitrix/subws/ {
            scgi_pass unix:%(scgi)s;
            scgi_read_timeout 1h;
            include %(scgi_params)s;
            scgi_param push_stream_subscriber websocket;
            scgi_param push_stream_channels_path $arg_CHANNEL_ID;
            scgi_param push_stream_message_template '~text~';
        }
        location ^~ /sse/ {
            scgi_pass unix:%(scgi)s;
            scgi_read_timeout 1h;
            scgi_buffering off;
            include %(scgi_params)s;
            scgi_param push_stream_subscriber eventsource;
            scgi_param push_stream_channels_path $arg_CHANNEL_ID;
            scgi_param push_stream_message_template '~text~';
        }
        location ^~ /v4/pub/ {
            fastcgi_pass %(name)s;
            fastcgi_keep_conn on;
            fastcgi_ignore_client_abort on;
            include %(params)s;
            fastcgi_param bitrix_version 4;
            fastcgi_param bitrix_route pub;
            allow 127.0.0.0/8;
            deny all;
        }
        location ^~ /v4/sub/ {
            fastcgi_pass unix:%(socket)s;
            include %(params)s;
            fastcgi_param bitrix_version 4;
            fastcgi_param bitrix_route sub;
        }
    }
"""
TEMPLATE = (
    '#!NGINXNMS!#{"id":~id~,"channel":"~channel~","tag":"~tag~",'
    '"time":"~time~","eventid":"~event-id~","text":~text~}#!NGINXNME!#'
)

POLL_HEADERS = """\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101\r
Accept: */*\r
Accept-Language: ru-RU,ru;q=0.8,en-US;q=0.5,en;q=0.3\r
Accept-Encoding: gzip, deflate\r
Origin: http://portal.example\r
Referer: http://portal.example/\r
"""
WS_HEADERS = """\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101\r
Origin: http://portal.example\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
"""
SSE_HEADERS = """\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101\r
Accept: text/event-stream\r
Cache-Control: no-cache\r
Origin: http://portal.example\r
Referer: http://portal.example/\r
"""

HOLDFAST_CONF = """\
fastcgi = {"unix:%(fastcgi)s"}
scgi = {"unix:%(scgi)s"}
http = {"127.0.0.1:%(http)d"}
control = "unix:%(control)s"
database = "%(database)s"
sync = full
signature_key = {"%(signature_key)s"}
log_file = "%(log)s"
# The messages of a run stay until it ends, and so do quiet channels.
push_stream_message_ttl = 86400
push_stream_max_messages_stored_per_channel = 10000000
push_stream_channel_inactivity_time = 3600
%(user)s
# For clients of the HTTP listener, what nginx's side says of the same.
location "/direct/pub/" {
	push_stream_publisher = admin
	push_stream_channels_path = "$arg_CHANNEL_ID"
	push_stream_store_messages = on
	allow = {"127.0.0.0/8"}
}
location "/direct/sub/" {
	push_stream_subscriber = long-polling
	push_stream_allowed_origins = "*"
	push_stream_channels_path = "$arg_CHANNEL_ID"
	push_stream_longpolling_connection_ttl = 40
	push_stream_authorized_channels_only = on
}
location "/direct/live/" {
	push_stream_publisher = admin
	push_stream_channels_path = "$arg_CHANNEL_ID"
	push_stream_store_messages = off
}
location "/direct/ws/" {
	push_stream_subscriber = websocket
	push_stream_channels_path = "$arg_CHANNEL_ID"
	push_stream_message_template = "~text~"
}
"""

# What Nchan answers the same requests with.  Messages are in its memory, as
# many of a channel as it keeps by default.
NCHAN_SIDE = """\
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        nchan_channel_id $arg_CHANNEL_ID;
        location /direct/pub/ {
            nchan_publisher http;
        }
        location /direct/live/ {
            nchan_publisher http;
            nchan_store_messages off;
        }
        location /direct/ws/ {
            nchan_subscriber websocket;
            nchan_subscriber_first_message newest;
        }
    }
"""


def body(length):
    """Printable text that a JSON template can carry: a quoted string."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 "
    return '"' + "".join(rng.choice(letters) for _ in range(length - 2)) + '"'


def http_publish(length, path=PUBLISH_PATH):
    return (
        f"POST {path}{CHANNEL} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        f"Content-Length: {length}\r\n\r\n{body(length)}"
    ).encode()


def http_get(path, headers):
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n"
    ).encode()


def http_direct(length, live_length):
    """The requests of the HTTP listener's own clients."""
    return {
        "direct-publish.http": http_publish(length, DIRECT_PUB),
        "direct-poll.http": http_get(DIRECT_SUB + CHANNEL, POLL_HEADERS),
        "direct-live.http": http_publish(live_length, DIRECT_LIVE),
        "direct-ws.http": http_get(DIRECT_WS + CHANNEL, WS_HEADERS),
    }


def http_poll():
    return http_get(f"{POLL_PATH}{CHANNEL}&tag=&time=", POLL_HEADERS)


# What opens a stream of each kind.
HTTP_STREAMS = {
    "ws": http_get(WS_PATH + CHANNEL, WS_HEADERS),
    "sse": http_get(SSE_PATH + CHANNEL, SSE_HEADERS),
}
