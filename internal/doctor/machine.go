package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

const (
	// leastFree is four steps of the growth of a bbolt file.
	leastFree   = 64 << 20
	leastInodes = 64
	// leastFiles is room for as many connections at a time as a small deployment has.
	leastFiles = 4096
)

// room is what a file system has left for those who are not root.
type room struct{ bytes, free, inodes, freeInodes uint64 }

// Disk checks the room for the database in dir: it grows by steps, and a copy is as large
// as it is.
func Disk(dir, database string) []Check {
	r := &report{name: "disk"}
	left, err := roomAt(dir)
	if err != nil {
		return []Check{Skip(r.name, err.Error())}
	}
	size, known := uint64(0), ""
	if info, err := os.Stat(database); err == nil {
		size = uint64(info.Size())
		known = ", database " + sizeText(size)
	}
	judgeRoom(r, left, dir, size)
	return r.orOK("%s of %s free%s", sizeText(left.free), sizeText(left.bytes), known)
}

func judgeRoom(r *report, left room, dir string, database uint64) {
	const advice = "make room, or move the data directory to a larger disk: without room logins are refused"
	switch {
	case left.free < leastFree, left.free < database:
		r.fail(advice, "%s free at %s, and the database of %s needs %s to grow and to be copied",
			sizeText(left.free), dir, sizeText(database), sizeText(max(leastFree, database)))
	case left.free < left.bytes/10:
		r.warn(advice, "%s of %s free at %s", sizeText(left.free), sizeText(left.bytes), dir)
	}
	switch { // a file system without a table of inodes says 0
	case left.inodes == 0:
	case left.freeInodes < leastInodes:
		r.fail("remove files: no new one can be made", "%d of %d inodes free at %s", left.freeInodes, left.inodes, dir)
	case left.freeInodes < left.inodes/10:
		r.warn("remove files, or move the data directory", "%d of %d inodes free at %s", left.freeInodes, left.inodes, dir)
	}
}

func sizeText(n uint64) string {
	for _, unit := range []struct {
		size uint64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= 10*unit.size || n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// OpenFiles checks how many files and connections the server may have open.
func OpenFiles(pid int) []Check {
	r := &report{name: "open files"}
	if pid <= 0 {
		return []Check{Skip(r.name, "the server's process is not visible here")}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return []Check{Skip(r.name, err.Error())}
	}
	limit, err := maxOpenFiles(limits)
	if err != nil {
		return []Check{Skip(r.name, err.Error())}
	}
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)) // of another user: none
	const advice = "raise it: LimitNOFILE= of the systemd unit, ulimit -n in a shell, and restart signet serve"
	switch {
	case limit < leastFiles:
		r.warn(advice, "the server may open %d, which is the most connections it can have", limit)
	case uint64(len(open)) > limit/10*9:
		r.warn(advice, "%d of %d are open: soon no connection is taken", len(open), limit)
	}
	if limit == unlimited {
		return r.orOK("%d open, without a limit", len(open))
	}
	return r.orOK("%d of %d", len(open), limit)
}

var errLimits = errors.New("the limits of the server's process cannot be read")

const unlimited = math.MaxUint64

// maxOpenFiles reads the soft limit of RLIMIT_NOFILE from proc_pid_limits(5).
func maxOpenFiles(limits []byte) (uint64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(limits)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "Max open files")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			if fields[0] == "unlimited" {
				return unlimited, nil
			}
			return strconv.ParseUint(fields[0], 10, 64)
		}
	}
	return 0, errLimits
}
