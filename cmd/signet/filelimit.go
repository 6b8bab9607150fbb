package main

import (
	"fmt"

	"signet/internal/control"
)

const (
	// maxConnections bounds the public listener where the system allows more files:
	// some 350 MB if all of them are kept alive.
	maxConnections = 16384
	// opsConnections are few: a scrape comes alone.
	opsConnections = 16
	// otherFiles are the database, the log, the listeners, the pipes to the hash worker, and
	// what is opened for a moment.
	otherFiles = 32
)

// publicConnections is how many connections the public listener may have, of as many
// open files as the process may have, and how to raise that.
func publicConnections(files uint64) (limit int, do string) {
	const reserve = opsConnections + control.Connections + otherFiles
	if files >= maxConnections+reserve {
		return maxConnections, "put a proxy in front that keeps fewer connections open"
	}
	do = fmt.Sprintf("raise the limit of open files, which is %d: LimitNOFILE= in a systemd unit, or ulimit -n", files)
	return max(int(files)-reserve, int(files)/4, 1), do
}
