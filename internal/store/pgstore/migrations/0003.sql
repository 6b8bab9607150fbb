-- What replicas tell each other for operators: how each is, and who fetched the key set
-- from it. A replica has a bounded number of places, which it writes again. The instants
-- are the database's: no clock of a replica is compared with another's.
CREATE TABLE IF NOT EXISTS signet_peers (
	replica bigint      NOT NULL PRIMARY KEY,
	told    timestamptz NOT NULL,
	body    bytea       NOT NULL
);

CREATE TABLE IF NOT EXISTS signet_fetches (
	replica bigint      NOT NULL,
	place   bigint      NOT NULL,
	fetched timestamptz NOT NULL,
	regular boolean     NOT NULL,
	body    bytea       NOT NULL,
	PRIMARY KEY (replica, place)
);
