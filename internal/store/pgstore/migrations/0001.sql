-- Text is bytea: in byte order whatever the collation, and any bytes come back as they
-- were. Instants are milliseconds since 1970. Identifiers of 32 hexadecimal digits are
-- packed into 17 bytes. Each statement can be run again.

CREATE TABLE IF NOT EXISTS signet_users (
	id          bytea   NOT NULL PRIMARY KEY,
	name        bytea   NOT NULL UNIQUE,
	user_id     bytea   UNIQUE,
	disabled    boolean NOT NULL,
	epoch       bigint  NOT NULL,
	version     bigint  NOT NULL,
	claim_bytes bigint  NOT NULL, -- how long what a token may say of the account can get
	hash_kind   bytea   NOT NULL,
	record      bytea   NOT NULL  -- the rest, as CBOR
);

-- How many accounts have a hash of a kind is the sum over the shards: one row would be
-- what all changes of accounts wait for.
CREATE TABLE IF NOT EXISTS signet_hash_kinds (
	kind  bytea    NOT NULL,
	shard smallint NOT NULL,
	count bigint   NOT NULL,
	PRIMARY KEY (kind, shard)
);

-- No index holds what a refresh changes, and each page keeps room for the next version
-- of a row: a refresh touches one page of the table and none of an index.
CREATE TABLE IF NOT EXISTS signet_sessions (
	id         bytea  NOT NULL PRIMARY KEY,
	subject    bytea  NOT NULL,
	client     bytea  NOT NULL,
	created    bigint NOT NULL,
	ends       bigint NOT NULL,
	epoch      bigint NOT NULL,
	rotated    bigint NOT NULL,
	expires    bigint NOT NULL,
	generation bigint NOT NULL,
	jti        bytea  NOT NULL,
	previous   bytea  NOT NULL,
	kid        bytea  NOT NULL
) WITH (fillfactor = 85);

CREATE INDEX IF NOT EXISTS signet_sessions_subject ON signet_sessions (subject, id);

CREATE TABLE IF NOT EXISTS signet_clients (
	id      bytea  NOT NULL PRIMARY KEY,
	version bigint NOT NULL,
	record  bytea  NOT NULL
);

CREATE TABLE IF NOT EXISTS signet_assertions (
	expires bigint NOT NULL,
	hash    bytea  NOT NULL,
	PRIMARY KEY (expires, hash)
);

CREATE TABLE IF NOT EXISTS signet_ring (
	one     smallint NOT NULL PRIMARY KEY CHECK (one = 1),
	version bigint   NOT NULL,
	ring    bytea    NOT NULL
);

CREATE TABLE IF NOT EXISTS signet_meta (
	name  bytea NOT NULL PRIMARY KEY,
	value bytea NOT NULL
);
