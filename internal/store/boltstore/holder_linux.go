package boltstore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// holder names the process that holds the lock on the file, such as
// "process 1234 (signet)", or returns "" if that cannot be found out.
func holder(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer locks.Close()
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	pid := lockOwner(locks, id)
	if pid == "" {
		return ""
	}
	comm, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		return "process " + pid
	}
	return fmt.Sprintf("process %s (%s)", pid, bytes.TrimSpace(comm))
}

// lockOwner finds the process that holds a lock on the file id
// (MAJOR:MINOR:INODE) in the format of proc_locks(5):
//
//	1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF
//
// A lock that is waited for has "->" as its second field. A process of another
// PID namespace is 0.
func lockOwner(locks io.Reader, id string) string {
	lines := bufio.NewScanner(locks)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) >= 6 && f[1] != "->" && f[5] == id && f[4] != "0" && f[4] != "-1" {
			return f[4]
		}
	}
	return ""
}
