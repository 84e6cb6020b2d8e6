/*
 * fcgi/http_head.c - from a request line and fields to CGI parameters.
 *
 * A client's fields become HTTP_* and nothing else, and one whose name has an
 * underscore is dropped, as nginx drops it: "Content_Length" and
 * "X_Forwarded_For" would otherwise pass for what they are not.  So no client
 * can set a directive.
 *
 * Who the client is says the socket; if that is a trusted proxy, the last
 * address of X-Forwarded-For that is none, for everything before it could be
 * the client's own writing.  Likewise only the last word of X-Forwarded-Proto
 * counts, which is that proxy's own.
 */
#include "fcgi/http_head.h"

#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#define FIELD_NAME_MAX 256

static int
end_text(int fd, int (*name_of)(int, struct sockaddr *, socklen_t *),
    char addr[INET6_ADDRSTRLEN], char port[PORT_SIZE],
    struct sockaddr_storage *ss)
{
	socklen_t len = sizeof(*ss);
	const void *bytes = NULL;
	unsigned n = 0;

	memset(ss, 0, sizeof(*ss));
	if (name_of(fd, (struct sockaddr *)ss, &len) != 0)
		return ERR_SYSTEM;
	(void)snprintf(addr, INET6_ADDRSTRLEN, "unix:");
	if (ss->ss_family == AF_INET) {
		bytes = &((const struct sockaddr_in *)ss)->sin_addr;
		n = ntohs(((const struct sockaddr_in *)ss)->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		bytes = &((const struct sockaddr_in6 *)ss)->sin6_addr;
		n = ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	}
	if (bytes != NULL)
		(void)inet_ntop(ss->ss_family, bytes, addr, INET6_ADDRSTRLEN);
	(void)snprintf(port, PORT_SIZE, "%u", n);
	return 0;
}

#define NETWORK_IPV4 ((uint64_t)0xffff00000000)

/* An IPv4 address, or what one customer gets of IPv6: a /64.  An inherited
 * socket may listen for both, and IPv4 comes mapped then. */
static uint64_t
network_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)ss;
	uint64_t n;

	if (ss->ss_family == AF_INET)
		return NETWORK_IPV4 |
		    ((const struct sockaddr_in *)ss)->sin_addr.s_addr;
	if (ss->ss_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		return NETWORK_IPV4 | six->sin6_addr.s6_addr32[3];
	memcpy(&n, &six->sin6_addr, sizeof(n));
	return n != 0 ? n : 1; /* ::1 */
}

int
http_peer_init(struct http_peer *p, int fd)
{
	struct sockaddr_storage ss, ours;
	int err = end_text(fd, getpeername, p->addr, p->port, &ss);

	if (err == 0)
		err =
		    end_text(fd, getsockname, p->our_addr, p->our_port, &ours);
	p->local = ss.ss_family == AF_UNIX;
	p->tls = false;
	p->network = network_of(&ss);
	return err;
}

bool
http_peer_trusted(const struct http_peer *p, const struct cidr_list *trusted)
{
	struct slice addr = { p->addr, strlen(p->addr) };

	return p->local ||
	    (trusted != NULL && cidr_list_has_text(trusted, addr));
}

static struct slice
text(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static int
add(struct params *p, const char *name, struct slice value)
{
	return params_add(p, text(name), value);
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ssize_t
path_decode(struct slice raw, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++) {
		int high, low;

		out[n] = raw.ptr[i];
		if (raw.ptr[i] == '%') {
			if (raw.len - i < 3)
				return ERR_SYNTAX;
			high = hex(raw.ptr[++i]);
			low = hex(raw.ptr[++i]);
			if (high < 0 || low < 0 || high + low == 0)
				return ERR_SYNTAX;
			out[n] = (char)(high << 4 | low);
		}
		n++;
	}
	return (ssize_t)n;
}

/* How far out[0..w) is without its last segment. */
static ssize_t
path_up(const char *out, size_t w)
{
	if (w == 0)
		return ERR_SYNTAX; /* above the root */
	while (out[--w] != '/')
		;
	return (ssize_t)w;
}

ssize_t
http_path(struct slice raw, char out[HTTP_LINE_MAX])
{
	ssize_t n = path_decode(raw, out), w = 0;
	size_t len = (size_t)n, at = 0;

	if (n < 0 || n == 0 || out[0] != '/')
		return ERR_SYNTAX;
	while (at < len && w >= 0) {
		struct slice part;
		bool last;

		while (at < len && out[at] == '/')
			at++;
		part.ptr = out + at;
		while (at < len && out[at] != '/')
			at++;
		part.len = (size_t)(out + at - part.ptr);
		last = at == len;
		if (slice_is(part, ".."))
			w = path_up(out, (size_t)w);
		if (w < 0)
			break;
		if (part.len == 0 || slice_is(part, ".") ||
		    slice_is(part, "..")) {
			if (last)
				out[w++] = '/';
			continue;
		}
		out[w++] = '/';
		memmove(out + w, part.ptr, part.len);
		w += (ssize_t)part.len;
	}
	return w;
}

static bool
starts_caseless(struct slice s, const char *start)
{
	size_t len = strlen(start);

	return s.len >= len && strncasecmp(s.ptr, start, len) == 0;
}

/* "http://host:port/path?query" to its path; the host is the request's. */
static int
take_authority(struct http_head *h, struct params *p, struct slice *target)
{
	struct slice host;
	size_t n = 0;

	if (starts_caseless(*target, "http://"))
		slice_skip(target, 7);
	else if (starts_caseless(*target, "https://"))
		slice_skip(target, 8);
	else
		return ERR_SYNTAX;
	while (
	    n < target->len && target->ptr[n] != '/' && target->ptr[n] != '?')
		n++;
	host = (struct slice){ target->ptr, n };
	slice_skip(target, n);
	if (!http_is_host(host))
		return ERR_SYNTAX;
	h->authority = true;
	return add(p, "HTTP_HOST", host);
}

/* The path as it came, as it is meant, and the query. */
static int
add_uri(struct params *p, struct slice target, bool authority)
{
	const char *mark = memchr(target.ptr, '?', target.len);
	struct slice path = target, query = { target.ptr, 0 };
	char out[HTTP_LINE_MAX];
	ssize_t n;
	int err;

	if (mark != NULL) {
		path.len = (size_t)(mark - target.ptr);
		query = (struct slice){ mark + 1, target.len - path.len - 1 };
	}
	if (authority && path.len == 0)
		path = text("/");
	n = http_path(path, out);
	if (n < 0)
		return ERR_SYNTAX;
	err = add(p, "REQUEST_URI", target.len != 0 ? target : path);
	if (err == 0)
		err = add(p, "DOCUMENT_URI", (struct slice){ out, (size_t)n });
	if (err == 0)
		err = add(p, "QUERY_STRING", query);
	return err;
}

int
http_head_line(struct http_head *h, struct params *p,
    const struct http_item *line, uint8_t minor)
{
	struct slice target = line->value;
	int err;

	memset(h, 0, sizeof(*h));
	h->is_head = slice_is(line->name, "HEAD");
	h->star = slice_is(target, "*");
	if (slice_is(line->name, "CONNECT"))
		return ERR_CODING;
	err = add(p, "REQUEST_METHOD", h->is_head ? text("GET") : line->name);
	if (err == 0 && h->star && !slice_is(line->name, "OPTIONS"))
		err = ERR_SYNTAX;
	if (err == 0 && !h->star && *target.ptr != '/')
		err = take_authority(h, p, &target);
	if (err == 0 && !h->star)
		err = add_uri(p, target, h->authority);
	if (err == 0)
		err = add(p, "SERVER_PROTOCOL",
		    text(minor == 0 ? "HTTP/1.0" : "HTTP/1.1"));
	return err == ERR_TOOBIG ? ERR_URI : err;
}

/* HTTP_NAME; 0 when the name is not to be passed on. */
static size_t
field_name(char *out, struct slice name)
{
	static const char prefix[] = "HTTP_";
	size_t n = sizeof(prefix) - 1;

	memcpy(out, prefix, n);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c == '_')
			return 0;
		if (c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		out[n++] = c == '-' ? '_' : c;
	}
	return n;
}

int
http_head_field(
    struct http_head *h, struct params *p, const struct http_item *field)
{
	char out[FIELD_NAME_MAX + 8];
	struct slice name = { out, 0 };
	int err;

	if (field->name.len > FIELD_NAME_MAX)
		return ERR_HEAD;
	name.len = field_name(out, field->name);
	if (name.len == 0 || slice_is(name, "HTTP_CONTENT_LENGTH") ||
	    slice_is(name, "HTTP_TRANSFER_ENCODING") ||
	    (h->authority && slice_is(name, "HTTP_HOST")))
		return 0;
	if (slice_is(name, "HTTP_CONTENT_TYPE"))
		slice_skip(&name, 5);
	else if (slice_is(name, "HTTP_X_FORWARDED_FOR") ||
	    slice_is(name, "HTTP_X_FORWARDED_PROTO"))
		h->forwarded = true;
	err = params_add(p, name, field->value);
	return err == ERR_TOOBIG ? ERR_HEAD : err;
}

/* "10.0.0.1", "10.0.0.1:80", "[::1]:80", "::1" without what is around it. */
static struct slice
bare_address(struct slice s)
{
	const char *end;

	while (s.len != 0 && (*s.ptr == ' ' || *s.ptr == '\t'))
		slice_skip(&s, 1);
	while (
	    s.len != 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	if (s.len != 0 && *s.ptr == '[') {
		slice_skip(&s, 1);
		end = memchr(s.ptr, ']', s.len);
	} else {
		end = memchr(s.ptr, ':', s.len);
		if (end != NULL &&
		    memchr(end + 1, ':', s.len - (size_t)(end + 1 - s.ptr)) !=
			NULL)
			end = NULL;
	}
	if (end != NULL)
		s.len = (size_t)(end - s.ptr);
	return s;
}

/* From the right, up to the first that is not trusted.  true: found.  Who
 * hides behind a word that is no address must not pass for the proxy. */
static bool
walk_addresses(
    struct slice list, const struct cidr_list *trusted, struct slice *client)
{
	for (;;) {
		const char *comma =
		    list.len != 0 ? memrchr(list.ptr, ',', list.len) : NULL;
		struct slice one = list, addr;

		if (comma != NULL)
			slice_skip(&one, (size_t)(comma + 1 - list.ptr));
		addr = bare_address(one);
		*client = cidr_is_address(addr) ? addr : SLICE("unknown");
		if (trusted == NULL || !cidr_list_has_text(trusted, addr))
			return true;
		if (comma == NULL)
			return false;
		list.len = (size_t)(comma - list.ptr);
	}
}

/* A field that was repeated is one list, in the order of the lines. */
static struct slice
forwarded_for(const struct params *p, const struct cidr_list *trusted)
{
	struct slice client = { NULL, 0 };

	for (uint32_t i = p->n; i-- > 0;) {
		if (slice_is(
			param_name(p, &p->list[i]), "HTTP_X_FORWARDED_FOR") &&
		    walk_addresses(
			param_value(p, &p->list[i]), trusted, &client))
			break;
	}
	return client;
}

/* What is added may move the bytes that a slice of the parameters shows. */
static int
add_client(struct params *p, const struct http_peer *peer,
    const struct cidr_list *trusted)
{
	struct slice client = forwarded_for(p, trusted);
	char addr[INET6_ADDRSTRLEN];

	if (client.ptr == NULL)
		client = text(peer->addr);
	memcpy(addr, client.ptr, client.len);
	return add(p, "REMOTE_ADDR", (struct slice){ addr, client.len });
}

/* What the proxy next to us says: it stands last, and what stands before it
 * may be the client's own writing.  NULL ptr: nothing is said. */
static struct slice
forwarded_proto(const struct params *p)
{
	struct slice said = { NULL, 0 };
	const char *comma;

	for (uint32_t i = 0; i < p->n; i++) {
		if (slice_is(
			param_name(p, &p->list[i]), "HTTP_X_FORWARDED_PROTO"))
			said = param_value(p, &p->list[i]);
	}
	comma = said.len != 0 ? memrchr(said.ptr, ',', said.len) : NULL;
	if (comma != NULL)
		slice_skip(&said, (size_t)(comma + 1 - said.ptr));
	while (said.len != 0 && (*said.ptr == ' ' || *said.ptr == '\t'))
		slice_skip(&said, 1);
	return said;
}

static int
add_peer(struct params *p, const struct http_peer *peer)
{
	int err = add(p, "REMOTE_ADDR", text(peer->addr));

	return err != 0 ? err : add(p, "REMOTE_PORT", text(peer->port));
}

int
http_head_end(const struct http_head *h, struct params *p,
    const struct http_peer *peer, const struct cidr_list *trusted)
{
	bool believed = h->forwarded && http_peer_trusted(peer, trusted);
	struct slice proto = forwarded_proto(p);
	bool https = believed && proto.len != 0
	    ? starts_caseless(proto, "https") && proto.len == 5
	    : peer->tls;
	int err = believed ? add_client(p, peer, trusted) : add_peer(p, peer);

	if (err == 0)
		err = add(p, "SERVER_ADDR", text(peer->our_addr));
	if (err == 0)
		err = add(p, "SERVER_PORT", text(peer->our_port));
	if (err == 0)
		err = add(p, "REQUEST_SCHEME", text(https ? "https" : "http"));
	if (err == 0 && https)
		err = add(p, "HTTPS", text("on"));
	return err == ERR_TOOBIG ? ERR_HEAD : err;
}
