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
		    "Is the front running, and does it listen there (ss "
		    "-ltnp shows who does)?  The publisher is at\n"
		    "127.0.0.1:8895 in the shipped files for Bitrix; another "
		    "one is named by --publish.\n",
	},
	[ADVICE_CERTIFICATE] = {
		[FRONT_OTHER] =
		    "Clients will not trust the front's certificate either. "
		    " Is it for this name and still valid, and does its\n"
		    "file hold the chain that leads to its root?  "
		    "--insecure looks past it.\n",
	},
	[ADVICE_TLS_PORT] = {
		[FRONT_OTHER] =
		    "This port speaks TLS only: it is https:// (and wss://) "
		    "here, and on the site.\n",
	},
	[ADVICE_NO_TLS] = {
		[FRONT_OTHER] =
		    "No TLS could be agreed on.  Is this a port for https, "
		    "with a certificate?  Otherwise it is http:// here.\n"
		    "nginx: listen PORT ssl; Apache: SSLEngine On; "
		    "lighttpd: ssl.engine = \"enable\"; Caddy: https:// and "
		    "tls\n",
	},
	[ADVICE_NO_HTTP] = {
		[FRONT_OTHER] =
		    "Whoever listens there gives no answer in HTTP.  Is it "
		    "a port for https (then https://), or Holdfast's port\n"
		    "for FastCGI or SCGI?\n",
	},
	[ADVICE_REDIRECT] = {
		[FRONT_OTHER] =
		    "Clients follow no redirect here: take the address it "
		    "leads to, here and on the site.\n",
	},
	[ADVICE_DAEMON] = {
		[FRONT_OTHER] =
		    "The front does not reach Holdfast.  Does holdfastd "
		    "run, does the front name its socket or its port,\n"
		    "and may the front's user open the socket "
		    "(SocketGroup=, or socket_group in holdfast.conf)?\n",
		[FRONT_NGINX] =
		    "nginx does not reach Holdfast; its error log says why. "
		    " Does holdfastd run, and is this its socket?\n"
		    "    fastcgi_pass unix:/run/holdfast/fastcgi.sock;\n"
		    "nginx's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.  By "
		    "proxy_pass\n"
		    "it is the address of http in holdfast.conf.\n",
		[FRONT_APACHE] =
		    "Apache does not reach Holdfast; its error log says "
		    "why.  Does holdfastd run, and is this its socket?\n"
		    "    ProxyPass "
		    "\"unix:/run/holdfast/fastcgi.sock|fcgi://holdfast/PATH"
		    "\" flushpackets=on timeout=90 retry=0\n"
		    "Apache's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.  By "
		    "http://\n"
		    "it is the address of http in holdfast.conf.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd does not reach Holdfast; its error log says "
		    "why.  Does holdfastd run, and is this its socket?\n"
		    "    \"socket\" => \"/run/holdfast/fastcgi.sock\", "
		    "\"check-local\" => \"disable\"\n"
		    "lighttpd's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.  In\n"
		    "proxy.server it is the address of http in "
		    "holdfast.conf.\n",
		[FRONT_CADDY] =
		    "Caddy does not reach Holdfast; its log says why.  Does "
		    "holdfastd run, and is this its socket, or the "
		    "address\n"
		    "of http in holdfast.conf?\n"
		    "    reverse_proxy unix//run/holdfast/fastcgi.sock { "
		    "transport fastcgi }\n"
		    "    reverse_proxy 127.0.0.1:8080\n"
		    "Caddy's user must be in the socket's group: "
		    "SocketGroup=, or socket_group in holdfast.conf.\n",
	},
	[ADVICE_LISTENER] = {
		[FRONT_OTHER] =
		    "The front does not reach Holdfast where it sends "
		    "WebSockets.  If that is Holdfast's own HTTP "
		    "listener:\n"
		    "    http = {\"127.0.0.1:8080\"}\n"
		    "in holdfast.conf, and a restart of Holdfast; a reload "
		    "is not enough.\n",
		[FRONT_NGINX] =
		    "nginx does not reach Holdfast where it sends "
		    "WebSockets; its error log says why.  Is this its "
		    "socket?\n"
		    "    scgi_pass unix:/run/holdfast/scgi.sock;\n"
		    "By proxy_pass it is the address of http in "
		    "holdfast.conf, for which Holdfast needs a restart, no "
		    "reload.\n",
		[FRONT_APACHE] =
		    "Apache's WebSockets go to Holdfast's own HTTP "
		    "listener, and nobody is there.  In holdfast.conf\n"
		    "    http = {\"127.0.0.1:8080\"}\n"
		    "and a restart of Holdfast, a reload is not enough; and "
		    "the same port here:\n"
		    "    ProxyPass \"PATH\" \"http://127.0.0.1:8080PATH\" "
		    "upgrade=websocket timeout=90 retry=0\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd's WebSockets go to Holdfast's own HTTP "
		    "listener, and nobody is there.  In holdfast.conf\n"
		    "    http = {\"127.0.0.1:8080\"}\n"
		    "and a restart of Holdfast, a reload is not enough; and "
		    "the same port in proxy.server:\n"
		    "    \"host\" => \"127.0.0.1\", \"port\" => 8080\n",
		[FRONT_CADDY] =
		    "Caddy's WebSockets go to Holdfast's own HTTP listener, "
		    "and nobody is there.  In holdfast.conf\n"
		    "    http = {\"127.0.0.1:8080\"}\n"
		    "and a restart of Holdfast, a reload is not enough; and "
		    "the same port here:\n"
		    "    reverse_proxy 127.0.0.1:8080\n",
	},
	[ADVICE_FAILED] = {
		[FRONT_OTHER] =
		    "Holdfast's log says why, or the front's.  A parameter "
		    "has a wrong value, the disk is full, or the front\n"
		    "speaks to fastcgi.sock what belongs to scgi.sock, or "
		    "the other way round.\n",
	},
	[ADVICE_BUSY] = {
		[FRONT_OTHER] =
		    "The front does not even answer what waits for nothing. "
		    " Those who wait hold all its workers or connections,\n"
		    "or it is stuck; its error log says why.\n",
		[FRONT_NGINX] =
		    "nginx does not even answer what waits for nothing.  "
		    "Each client that waits takes two connections:\n"
		    "    worker_rlimit_nofile 65536;\n"
		    "    events { worker_connections 32768; }\n",
		[FRONT_APACHE] =
		    "Apache does not even answer what waits for nothing.  "
		    "Each client that waits holds a worker thread, and "
		    "there\n"
		    "are MaxRequestWorkers (the error log says AH00484 or "
		    "AH03490):\n"
		    "    ServerLimit 40\n"
		    "    ThreadsPerChild 64\n"
		    "    MaxRequestWorkers 2560\n"
		    "apache-examples/bitrix.conf tells how many it should "
		    "be.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd does not even answer what waits for nothing: "
		    "its connections are used up.\n"
		    "    server.max-fds = 32768\n"
		    "server.max-connections is half of it, if it is not "
		    "set.\n",
	},
	[ADVICE_LOCATION] = {
		[FRONT_OTHER] =
		    "That is not Holdfast's answer: does this path belong "
		    "to a location that leads to it?  (The address of a\n"
		    "whole Bitrix site is for --bitrix.)\n",
		[FRONT_NGINX] =
		    "Another location answers.  Give this path one of its "
		    "own, which no regular expression overrules:\n"
		    "    location ^~ PATH { include fastcgi_params; "
		    "fastcgi_pass unix:/run/holdfast/fastcgi.sock; }\n"
		    "(The address of a whole Bitrix site is for "
		    "--bitrix.)\n",
		[FRONT_APACHE] =
		    "Somebody else answers.  Is the path in a <Location> "
		    "with ProxyPass and \"Require all granted\",\n"
		    "and do no rewrite rules take it first?  (The address "
		    "of a whole Bitrix site is for --bitrix.)\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd itself answers.  Is the path in a "
		    "fastcgi.server or proxy.server that is reached, before "
		    "any\n"
		    "url.access-deny, and does lighttpd look for no file "
		    "there?\n"
		    "    \"check-local\" => \"disable\"\n"
		    "(The address of a whole Bitrix site is for "
		    "--bitrix.)\n",
		[FRONT_CADDY] =
		    "Caddy itself answers.  Is the path in a handle block "
		    "with reverse_proxy, which no other one takes first?\n"
		    "(The address of a whole Bitrix site is for "
		    "--bitrix.)\n",
	},
	[ADVICE_ENDPOINT] = {
		[FRONT_OTHER] =
		    "Holdfast answers, but knows no endpoint here: let the "
		    "front send parameters (push_stream_subscriber,\n"
		    "push_stream_publisher), or name the path in a location "
		    "of holdfast.conf.  What comes by HTTP has no\n"
		    "parameters: there it is holdfast.conf.  The head of "
		    "each shipped file has the lines.\n",
	},
	[ADVICE_REFUSED] = {
		[FRONT_OTHER] =
		    "Publishing is not allowed from here.  In the shipped "
		    "files it is for this machine: see the front's own "
		    "access\n"
		    "rules for this location, publish_from in holdfast.conf "
		    "for locations without parameters, and whether it is\n"
		    "a publisher at all (push_stream_publisher).\n",
	},
	[ADVICE_STORE] = {
		[FRONT_OTHER] =
		    "What was published is not there for readers.  "
		    "Publisher and subscriber need the same channel\n"
		    "(push_stream_channels_path) and the same daemon, the "
		    "publisher push_stream_store_messages on,\n"
		    "and the subscriber the mode long-polling.\n"
		    "Bitrix's own queue servers, versions 3 to 5, want "
		    "--version here.\n",
		[FRONT_APACHE] =
		    "What was published is not there for readers.  "
		    "Publisher and subscriber need the same channel\n"
		    "(push_stream_channels_path) and the same daemon, the "
		    "publisher push_stream_store_messages on,\n"
		    "and the subscriber the mode long-polling.\n"
		    "Bitrix's own queue servers, versions 3 to 5, want "
		    "--version here.\n"
		    "Where a value begins with $ (\"$arg_id\"), the same "
		    "<Location> needs\n"
		    "    SetEnv holdfast_expand on\n",
		[FRONT_CADDY] =
		    "What was published is not there for readers.  "
		    "Publisher and subscriber need the same channel\n"
		    "(push_stream_channels_path) and the same daemon, the "
		    "publisher push_stream_store_messages on,\n"
		    "and the subscriber the mode long-polling.\n"
		    "Bitrix's own queue servers, versions 3 to 5, want "
		    "--version here.\n"
		    "Where a value begins with $ ($arg_id), the same "
		    "transport needs\n"
		    "    env holdfast_expand on\n"
		    "and php_fastcgi, which asks for index.php, will not "
		    "do: reverse_proxy with transport fastcgi does.\n",
	},
	[ADVICE_POSITION] = {
		[FRONT_OTHER] =
		    "Last-Modified and Etag are the client's position, and "
		    "the arguments tag and time bring it back.\n"
		    "Take out what removes or rewrites these fields on the "
		    "way, and see that the location reads them:\n"
		    "    push_stream_last_received_message_tag   $arg_tag\n"
		    "    push_stream_last_received_message_time  $arg_time "
		    "if_not_empty\n",
		[FRONT_NGINX] =
		    "Last-Modified and Etag are the client's position.  "
		    "Take out add_header, fastcgi_hide_header, sub_filter\n"
		    "and ssi that touch them in this location, and let it "
		    "read the position that comes back:\n"
		    "    fastcgi_param "
		    "push_stream_last_received_message_tag   $arg_tag;\n"
		    "    fastcgi_param "
		    "push_stream_last_received_message_time  $arg_time "
		    "if_not_empty;\n",
		[FRONT_APACHE] =
		    "Last-Modified and Etag are the client's position.  "
		    "Take out Header, FileETag and output filters\n"
		    "that touch them in this location.\n",
		[FRONT_LIGHTTPD] =
		    "Last-Modified and Etag are the client's position.  "
		    "Take out setenv.set-response-header and whatever "
		    "else\n"
		    "touches them for this path.\n",
		[FRONT_CADDY] =
		    "Last-Modified and Etag are the client's position.  "
		    "Take out header, header_down and whatever else "
		    "touches\n"
		    "them for this path.\n",
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
		    "    $HTTP[\"url\"] =~ \"^PATH\" { deflate.mimetypes = "
		    "() }\n",
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
		    "    $HTTP[\"url\"] =~ \"^PATH\" { expire.url = () }\n"
		    "and no setenv line for Expires or Cache-Control.\n",
		[FRONT_CADDY] =
		    "Answers must not be kept: no header line for Expires "
		    "or Cache-Control that matches this path.\n",
	},
	[ADVICE_DOUBLED] = {
		[FRONT_OTHER] =
		    "Browsers refuse the field when it comes twice.  "
		    "Holdfast sends it (push_stream_allowed_origins):\n"
		    "take it out of the front.\n",
		[FRONT_NGINX] =
		    "Browsers refuse the field when it comes twice.  "
		    "Holdfast sends it (push_stream_allowed_origins):\n"
		    "take out this location's add_header "
		    "Access-Control-Allow-Origin.\n",
		[FRONT_APACHE] =
		    "Browsers refuse the field when it comes twice.  "
		    "Holdfast sends it (push_stream_allowed_origins):\n"
		    "take out Header ... Access-Control-Allow-Origin.\n",
		[FRONT_LIGHTTPD] =
		    "Browsers refuse the field when it comes twice.  "
		    "Holdfast sends it (push_stream_allowed_origins):\n"
		    "take it out of setenv.add-response-header for this "
		    "path.\n",
		[FRONT_CADDY] =
		    "Browsers refuse the field when it comes twice.  "
		    "Holdfast sends it (push_stream_allowed_origins):\n"
		    "take out the header line with "
		    "Access-Control-Allow-Origin for this path.\n",
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
		    "The front gives up before the poll ends: its timeout "
		    "for reading from Holdfast must be longer\n"
		    "than push_stream_longpolling_connection_ttl, with room "
		    "for a slow disk.\n",
		[FRONT_NGINX] =
		    "nginx gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl):\n"
		    "    fastcgi_read_timeout 90s;\n",
		[FRONT_APACHE] =
		    "Apache gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl): timeout=90 "
		    "in\n"
		    "ProxyPass, or\n"
		    "    ProxyTimeout 90\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl).  Take out "
		    "\"read-timeout\" in\n"
		    "fastcgi.server, or raise it:\n"
		    "    \"read-timeout\" => 90\n",
		[FRONT_CADDY] =
		    "Caddy gives up before the poll ends "
		    "(push_stream_longpolling_connection_ttl).  Take out "
		    "read_timeout (or\n"
		    "response_header_timeout in transport http), or raise "
		    "it:\n"
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
		    "Apache looks after its client only when it has "
		    "something to write.  Nothing is lost; a client\n"
		    "that has left holds a worker, and counts as online, "
		    "until its poll ends.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd goes on waiting when its client has left.  "
		    "Nothing is lost; the client counts as online\n"
		    "until its poll ends.\n",
		[FRONT_CADDY] =
		    "Caddy goes on waiting for a FastCGI answer when its "
		    "client has left.  Nothing is lost; the client\n"
		    "counts as online until its poll ends.  Holdfast's HTTP "
		    "listener would know at once:\n"
		    "    reverse_proxy 127.0.0.1:8080\n",
	},
	[ADVICE_BUFFERING] = {
		[FRONT_OTHER] =
		    "The front gathers a stream before it passes it on: no "
		    "buffering and no compression in this location.\n",
		[FRONT_NGINX] =
		    "nginx gathers the stream before it passes it on:\n"
		    "    fastcgi_buffering off;\n"
		    "or leave it to Holdfast, which switches it off, and "
		    "take out fastcgi_ignore_headers X-Accel-Buffering.\n",
		[FRONT_APACHE] =
		    "Apache gathers the stream before it passes it on: "
		    "flushpackets=on in ProxyPass, and\n"
		    "    SetEnv no-gzip 1\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd gathers the stream before it passes it on:\n"
		    "    server.stream-response-body = 2\n"
		    "    deflate.mimetypes = ()\n",
		[FRONT_CADDY] =
		    "Caddy gathers the stream before it passes it on:\n"
		    "    reverse_proxy ... { flush_interval -1 }\n"
		    "and no encode for this path.\n",
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
		    "nginx tunnels after a 101 by scgi_pass or proxy_pass, "
		    "never by fastcgi_pass:\n"
		    "    location ^~ PATH { include scgi_params; "
		    "scgi_read_timeout 90s;\n"
		    "                       scgi_pass "
		    "unix:/run/holdfast/scgi.sock; }\n"
		    "By proxy_pass it has to hand on what the client asks "
		    "for:\n"
		    "    proxy_http_version 1.1;\n"
		    "    proxy_set_header Upgrade $http_upgrade;\n"
		    "    proxy_set_header Connection \"upgrade\";\n",
		[FRONT_APACHE] =
		    "Apache tunnels to Holdfast's own HTTP listener (http = "
		    "{\"127.0.0.1:8080\"} in holdfast.conf) only:\n"
		    "    ProxyPass \"PATH\" \"http://127.0.0.1:8080PATH\" "
		    "upgrade=websocket timeout=90 retry=0\n"
		    "with mod_proxy_http of 2.4.47 or newer, else ws:// "
		    "with mod_proxy_wstunnel.\n",
		[FRONT_LIGHTTPD] =
		    "lighttpd tunnels to Holdfast's own HTTP listener (http "
		    "= {\"127.0.0.1:8080\"} in holdfast.conf) only:\n"
		    "    proxy.server = (\"PATH\" => ((\"host\" => "
		    "\"127.0.0.1\", \"port\" => 8080)))\n"
		    "    proxy.header = (\"upgrade\" => \"enable\")\n",
		[FRONT_CADDY] =
		    "Caddy tunnels to Holdfast's own HTTP listener (http = "
		    "{\"127.0.0.1:8080\"} in holdfast.conf) only:\n"
		    "    reverse_proxy PATH* 127.0.0.1:8080\n"
		    "with no header_up that touches Upgrade or "
		    "Connection.\n",
	},
};

static const char *const names[FRONT_N] = { "an unknown server", "nginx",
	"Apache", "lighttpd", "Caddy" };

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
