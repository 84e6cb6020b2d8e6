/*
 * ctl/check_advice.c - what to change in which front: one table.
 *
 * A front without a text of its own gets the general one.  For nginx the
 * lines are those of fastcgi_pass; check.c says how the others are called.
 */
#include "ctl/check_advice.h"

#include <strings.h>

static const char *const advices[ADVICE_N][FRONT_N] = {
	[ADVICE_ADDRESS] = {
		[FRONT_OTHER] =
		    "Is the front running, and does it listen there?\n",
	},
	[ADVICE_CERTIFICATE] = {
		[FRONT_OTHER] =
		    "Clients will not trust the front's certificate either; "
		    "--insecure looks past it.\n",
	},
	[ADVICE_REDIRECT] = {
		[FRONT_OTHER] =
		    "Clients follow no redirect here: take the address it "
		    "leads to, here and on the site.\n",
	},
	[ADVICE_DAEMON] = {
		[FRONT_OTHER] =
		    "The front does not reach Holdfast.  Does holdfastd run, "
		    "does the front name its socket,\n"
		    "and may the front's user open it (SocketGroup=, or "
		    "socket_group in holdfast.conf)?\n",
		[FRONT_NGINX] =
		    "nginx does not reach Holdfast; its error log says why.\n"
		    "    fastcgi_pass unix:/run/holdfast/fastcgi.sock;\n"
		    "nginx's user must be in the socket's group: SocketGroup=, "
		    "or socket_group in holdfast.conf.\n",
		[FRONT_APACHE] =
		    "Apache does not reach Holdfast; its error log says why.\n"
		    "    ProxyPass \"unix:/run/holdfast/fastcgi.sock|fcgi://"
		    "holdfast/PATH\" flushpackets=on timeout=90 retry=0\n"
		    "Apache's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd does not reach Holdfast; its error log says "
		    "why.\n"
		    "    \"socket\" => \"/run/holdfast/fastcgi.sock\", "
		    "\"check-local\" => \"disable\"\n"
		    "lighttpd's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.\n",
		[FRONT_CADDY] =
		    "Caddy does not reach Holdfast; its log says why.\n"
		    "    reverse_proxy unix//run/holdfast/fastcgi.sock { "
		    "transport fastcgi }\n"
		    "Caddy's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.\n",
	},
	[ADVICE_LOCATION] = {
		[FRONT_OTHER] =
		    "That is not Holdfast's answer: does this path belong to "
		    "a location that leads to it?\n",
		[FRONT_NGINX] =
		    "Another location answers.  Give this path one of its own, "
		    "which no regular expression overrules:\n"
		    "    location ^~ PATH { include fastcgi_params; "
		    "fastcgi_pass unix:/run/holdfast/fastcgi.sock; }\n",
		[FRONT_APACHE] =
		    "Somebody else answers.  Is the path in a <Location> with "
		    "ProxyPass and \"Require all granted\",\n"
		    "and do no rewrite rules take it first?\n",
	},
	[ADVICE_ENDPOINT] = {
		[FRONT_OTHER] =
		    "Holdfast answers, but knows no endpoint here: let the "
		    "front send parameters (push_stream_subscriber,\n"
		    "push_stream_publisher), or name the path in a location "
		    "of holdfast.conf.\n",
	},
	[ADVICE_REFUSED] = {
		[FRONT_OTHER] =
		    "Publishing is not allowed from here: see the front's own "
		    "access rules for this location,\n"
		    "publish_from in holdfast.conf, and whether it is a "
		    "publisher at all (push_stream_publisher).\n",
	},
	[ADVICE_STORE] = {
		[FRONT_OTHER] =
		    "What was published is not there for readers.  Publisher "
		    "and subscriber need the same channel\n"
		    "(push_stream_channels_path) and the same daemon, the "
		    "publisher push_stream_store_messages on,\n"
		    "and the subscriber the mode long-polling.\n",
	},
	[ADVICE_POSITION] = {
		[FRONT_OTHER] =
		    "Last-Modified and Etag are the client's position, and the "
		    "arguments tag and time bring it back.\n"
		    "Take out what removes or rewrites these fields on the "
		    "way, and see that the location reads them:\n"
		    "    push_stream_last_received_message_tag   $arg_tag\n"
		    "    push_stream_last_received_message_time  $arg_time "
		    "if_not_empty\n",
		[FRONT_NGINX] =
		    "Last-Modified and Etag are the client's position.  Take "
		    "out add_header, fastcgi_hide_header, sub_filter\n"
		    "and ssi that touch them in this location, and let it read "
		    "the position that comes back:\n"
		    "    fastcgi_param push_stream_last_received_message_tag   "
		    "$arg_tag;\n"
		    "    fastcgi_param push_stream_last_received_message_time  "
		    "$arg_time if_not_empty;\n",
		[FRONT_APACHE] =
		    "Last-Modified and Etag are the client's position.  Take "
		    "out Header, FileETag and output filters\n"
		    "that touch them in this location.\n",
	},
	[ADVICE_MID] = {
		[FRONT_OTHER] =
		    "The mid of a message, and the field Last-Message-Id of an "
		    "empty answer, are the client's position.\n"
		    "Is it the version of this server (--version)?\n",
	},
	[ADVICE_SIGNATURE] = {
		[FRONT_OTHER] =
		    "The channel is refused.  Is it the version of this server "
		    "(--version), and is the key in --key-file\n"
		    "one of signature_key in holdfast.conf?\n",
	},
	[ADVICE_CONDITION] = {
		[FRONT_OTHER] =
		    "If-Modified-Since and If-None-Match are a position here, "
		    "no condition: nobody but Holdfast may\n"
		    "answer 304.  Take caches out of this location.\n",
		[FRONT_NGINX] =
		    "If-Modified-Since is a position here, no condition:\n"
		    "    fastcgi_cache off;\n",
		[FRONT_APACHE] =
		    "If-Modified-Since is a position here, no condition:\n"
		    "    CacheDisable on\n",
	},
	[ADVICE_COMPRESSION] = {
		[FRONT_OTHER] =
		    "Compression changes the Etag, half of the client's "
		    "position: no compression in this location.\n",
		[FRONT_NGINX] =
		    "Compression takes the Etag away, half of the client's "
		    "position:\n"
		    "    gzip off;\n"
		    "and brotli off; where that module is loaded.\n",
		[FRONT_APACHE] =
		    "Compression changes the Etag, half of the client's "
		    "position:\n"
		    "    SetEnv no-gzip 1\n"
		    "    SetEnv no-brotli 1\n",
		[FRONT_LIGHTTPD] =
		    "Compression changes the Etag, half of the client's "
		    "position:\n"
		    "    $HTTP[\"url\"] =^ \"PATH\" { deflate.mimetypes = () "
		    "}\n",
		[FRONT_CADDY] =
		    "Compression changes the Etag, half of the client's "
		    "position: let `encode` match other paths only.\n"
		    "    @other not path PATH*\n"
		    "    encode @other gzip\n",
	},
	[ADVICE_CACHING] = {
		[FRONT_OTHER] =
		    "Answers must not be kept: leave Holdfast's Expires and "
		    "Cache-Control as they are.\n",
		[FRONT_NGINX] =
		    "Answers must not be kept:\n"
		    "    expires off;\n"
		    "and no add_header for Expires or Cache-Control.\n",
		[FRONT_APACHE] =
		    "Answers must not be kept:\n"
		    "    ExpiresActive off\n"
		    "and no Header line for Expires or Cache-Control.\n",
		[FRONT_LIGHTTPD] =
		    "Answers must not be kept:\n"
		    "    $HTTP[\"url\"] =^ \"PATH\" { expire.url = () }\n",
	},
	[ADVICE_DOUBLED] = {
		[FRONT_OTHER] =
		    "Browsers refuse the field when it comes twice.  Holdfast "
		    "sends it (push_stream_allowed_origins):\n"
		    "take it out of the front.\n",
		[FRONT_NGINX] =
		    "Browsers refuse the field when it comes twice.  Holdfast "
		    "sends it (push_stream_allowed_origins):\n"
		    "take out this location's add_header "
		    "Access-Control-Allow-Origin.\n",
		[FRONT_APACHE] =
		    "Browsers refuse the field when it comes twice.  Holdfast "
		    "sends it (push_stream_allowed_origins):\n"
		    "take out Header ... Access-Control-Allow-Origin.\n",
	},
	[ADVICE_KEEPALIVE] = {
		[FRONT_OTHER] =
		    "Nothing is lost, but each poll costs a connection, and "
		    "with https a handshake: let the front keep them.\n",
		[FRONT_NGINX] =
		    "Nothing is lost, but each poll costs a connection, and "
		    "with https a handshake:\n"
		    "    keepalive_timeout 75s;\n",
		[FRONT_APACHE] =
		    "Nothing is lost, but each poll costs a connection, and "
		    "with https a handshake:\n"
		    "    KeepAlive On\n",
		[FRONT_LIGHTTPD] =
		    "Nothing is lost, but each poll costs a connection, and "
		    "with https a handshake:\n"
		    "    server.max-keep-alive-requests = 1000\n",
	},
	[ADVICE_CLOCKS] = {
		[FRONT_OTHER] =
		    "Let one time service set the clocks of all machines "
		    "(chrony, systemd-timesyncd): positions are times.\n",
	},
	[ADVICE_LONG_POLL] = {
		[FRONT_OTHER] =
		    "A reader with nothing new should wait.  Is it the mode "
		    "long-polling, and no cache before it?\n"
		    "    push_stream_subscriber  long-polling\n",
	},
	[ADVICE_READ_TIMEOUT] = {
		[FRONT_OTHER] =
		    "The front gives up before the poll ends: its timeout for "
		    "reading from Holdfast must be longer\n"
		    "than push_stream_longpolling_connection_ttl, with room "
		    "for a slow disk.\n",
		[FRONT_NGINX] =
		    "nginx gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl):\n"
		    "    fastcgi_read_timeout 90s;\n",
		[FRONT_APACHE] =
		    "Apache gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl): timeout=90 in\n"
		    "ProxyPass, or\n"
		    "    ProxyTimeout 90\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl):\n"
		    "    \"read-timeout\" => 90\n",
		[FRONT_CADDY] =
		    "Caddy gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl):\n"
		    "    transport fastcgi { read_timeout 90s }\n",
	},
	[ADVICE_ABORT] = {
		[FRONT_OTHER] =
		    "Readers who are gone stay until their poll ends, and "
		    "count as online.  Let the front close its\n"
		    "connection to Holdfast when the client's is closed.\n",
		[FRONT_NGINX] =
		    "Readers who are gone stay until their poll ends, and "
		    "count as online:\n"
		    "    fastcgi_ignore_client_abort off;\n",
		[FRONT_APACHE] =
		    "Apache looks after its client only when it has something "
		    "to write.  Nothing is lost; a client\n"
		    "that has left holds a worker, and counts as online, until "
		    "its poll ends.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd goes on waiting when its client has left.  "
		    "Nothing is lost; the client counts as online\n"
		    "until its poll ends.\n",
		[FRONT_CADDY] =
		    "Caddy goes on waiting for a FastCGI answer when its "
		    "client has left.  Nothing is lost; the client\n"
		    "counts as online until its poll ends.\n",
	},
	[ADVICE_BUFFERING] = {
		[FRONT_OTHER] =
		    "The front gathers a stream before it passes it on: no "
		    "buffering and no compression in this location.\n",
		[FRONT_NGINX] =
		    "nginx gathers the stream before it passes it on:\n"
		    "    fastcgi_buffering off;\n"
		    "or leave it to Holdfast, which switches it off, and take "
		    "out fastcgi_ignore_headers X-Accel-Buffering.\n",
		[FRONT_APACHE] =
		    "Apache gathers the stream before it passes it on: "
		    "flushpackets=on in ProxyPass, and\n"
		    "    SetEnv no-gzip 1\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd gathers the stream before it passes it on:\n"
		    "    server.stream-response-body = 2\n",
		[FRONT_CADDY] =
		    "Caddy gathers the stream before it passes it on:\n"
		    "    reverse_proxy ... { flush_interval -1 }\n",
	},
	[ADVICE_STREAM] = {
		[FRONT_OTHER] =
		    "A stream should stay open.  Is it a location of the mode "
		    "streaming or eventsource, and is the front's\n"
		    "timeout longer than push_stream_ping_message_interval?\n"
		    "    push_stream_subscriber  eventsource\n",
	},
	[ADVICE_WEBSOCKET] = {
		[FRONT_OTHER] =
		    "The front does not tunnel this location to Holdfast.  "
		    "Is the mode websocket there, and does the front\n"
		    "pass Upgrade and Connection on?\n",
		[FRONT_NGINX] =
		    "nginx tunnels after a 101 by scgi_pass (or proxy_pass) "
		    "only, never by fastcgi_pass:\n"
		    "    location ^~ PATH { include scgi_params; "
		    "scgi_read_timeout 90s;\n"
		    "                       scgi_pass "
		    "unix:/run/holdfast/scgi.sock; }\n",
		[FRONT_APACHE] =
		    "Apache tunnels to Holdfast's own HTTP listener (`http` in "
		    "holdfast.conf) only:\n"
		    "    ProxyPass \"PATH\" \"http://127.0.0.1:PORT/PATH\" "
		    "upgrade=websocket\n"
		    "with mod_proxy_http of 2.4.47 or newer, else "
		    "ws:// with mod_proxy_wstunnel.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd tunnels where its backend allows it:\n"
		    "    \"upgrade\" => \"enable\"\n",
		[FRONT_CADDY] =
		    "Caddy tunnels to Holdfast's own HTTP listener (`http` in "
		    "holdfast.conf) only:\n"
		    "    reverse_proxy PATH* 127.0.0.1:PORT\n",
	},
};

static const char *const names[FRONT_N] = { "another front", "nginx", "Apache",
	"lighttpd", "Caddy" };

enum front
front_of(struct slice server)
{
	static const struct {
		const char *name;
		enum front front;
	} known[] = {
		{ "nginx", FRONT_NGINX },
		{ "openresty", FRONT_NGINX },
		{ "angie", FRONT_NGINX },
		{ "freenginx", FRONT_NGINX },
		{ "tengine", FRONT_NGINX },
		{ "Apache", FRONT_APACHE },
		{ "lighttpd", FRONT_LIGHTTPD },
		{ "Caddy", FRONT_CADDY },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		size_t n = strlen(known[i].name);

		if (server.len >= n &&
		    strncasecmp(server.ptr, known[i].name, n) == 0)
			return known[i].front;
	}
	return FRONT_OTHER;
}

const char *
front_name(enum front f)
{
	return names[f];
}

bool
advice_is_limit(enum advice a, enum front f)
{
	return a == ADVICE_ABORT && f != FRONT_NGINX && f != FRONT_OTHER;
}

const char *
advice_text(enum advice a, enum front f)
{
	const char *text = advices[a][f];

	return text != NULL ? text : advices[a][FRONT_OTHER];
}
