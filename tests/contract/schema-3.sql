-- Holdfast's log.  The only DDL: the daemon runs this file, byte for byte.
--
-- message is the log itself, appended in cursor order; nothing is stored
-- anywhere else before its commit is acknowledged.  member and channel are
-- indexes over it, brought up to date in sorted batches (state.indexed says
-- how far); at start the log's tail beyond that point is read again.

PRAGMA application_id = 0x486f6c64;
PRAGMA user_version = 3;

-- One row: what belongs to the log as a whole.
CREATE TABLE state (
	one		INTEGER PRIMARY KEY CHECK (one = 1),
	reserved	INTEGER NOT NULL,	-- no position beyond it was given
	indexed		INTEGER NOT NULL,	-- member and channel are complete up to this cursor
	next_channel	INTEGER NOT NULL,	-- first channel number never given
	published	INTEGER NOT NULL,	-- all messages but those in message beyond `indexed`
	horizon		INTEGER NOT NULL DEFAULT 0	-- no message up to `indexed` expires later
);
INSERT INTO state VALUES (1, 0, 0, 1, 0, 0);

-- The log.  cursor = unix seconds << 24 | tag; a message in n channels takes
-- the cursors cursor .. cursor + n - 1, or, shared, has one in all of them.
CREATE TABLE message (
	cursor		INTEGER PRIMARY KEY,
	expires		INTEGER NOT NULL,	-- unix seconds
	sum		INTEGER NOT NULL,	-- CRC-32 of all other columns but `early`
	members		BLOB NOT NULL,		-- n times (channel, id), 8 bytes each, big-endian
	event_id	BLOB,			-- NULL: not given
	event_type	BLOB,
	body		BLOB NOT NULL,
	early		INTEGER NOT NULL DEFAULT 1,	-- it expires before one that came before it
	shared		INTEGER NOT NULL DEFAULT 0,	-- its channels have it under this row's cursor
	extra		BLOB			-- what a dialect keeps beside the body; NULL: nothing
);
-- Most messages expire in the order in which they came, and the log is that
-- order; only the others need an index.
CREATE INDEX message_early ON message (expires) WHERE early;

-- A channel's messages.  The bucket comes first, so that new rows go to few
-- pages, however many channels and messages there are: it spans an hour at
-- most, and ends where the next one begins.
CREATE TABLE member (
	bucket		INTEGER NOT NULL,	-- the second it begins at
	channel		INTEGER NOT NULL,
	cursor		INTEGER NOT NULL,
	id		INTEGER NOT NULL,
	place		INTEGER NOT NULL,	-- cursor - place is the message's row
	PRIMARY KEY (bucket, channel, cursor)
) WITHOUT ROWID;

CREATE TABLE channel (
	channel		INTEGER PRIMARY KEY,	-- never given twice
	name		BLOB NOT NULL UNIQUE,
	last_id		INTEGER NOT NULL,	-- perhaps older than the log's tail
	last_cursor	INTEGER NOT NULL,	-- the same
	indexed		INTEGER NOT NULL,	-- up to here messages are in member, or gone
	stored		INTEGER NOT NULL	-- rows in member
);
