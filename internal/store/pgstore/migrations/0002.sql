-- What replicas tell each other of failed logins, for minutes. The instant is the
-- database's: no clock of a replica is compared with another's.
CREATE TABLE IF NOT EXISTS signet_throttle (
	replica bigint      NOT NULL,
	number  bigint      NOT NULL,
	made    timestamptz NOT NULL,
	body    bytea       NOT NULL,
	PRIMARY KEY (replica, number)
);

CREATE INDEX IF NOT EXISTS signet_throttle_made ON signet_throttle (made);
