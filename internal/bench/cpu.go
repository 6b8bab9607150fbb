package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat on Linux.
const tick = time.Second / 100

// cpuOf is what a process has used of the cores, with its children.
func cpuOf(pid int) (time.Duration, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	found := false
	for _, file := range all {
		// One that has just ended counts among those that its parent has waited for.
		if s, err := readStat(file); err == nil && (s.pid == pid || s.parent == pid) {
			ticks, found = ticks+s.ticks, true
		}
	}
	if !found {
		return 0, fmt.Errorf("the kernel tells nothing of process %d", pid)
	}
	return time.Duration(ticks) * tick, nil
}

// stat is a part of /proc/PID/stat.
type stat struct {
	pid, parent int
	ticks       int64 // of itself, and of children that it has waited for
}

func readStat(file string) (s stat, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	// The name, in parentheses, may hold anything; the state and the parent follow it.
	name, rest := strings.Index(string(text), " ("), strings.LastIndex(string(text), ") ")
	fields := strings.Fields(string(text[max(0, rest+1):]))
	if name < 0 || rest < 0 || len(fields) < 15 {
		return s, fmt.Errorf("%s is not as it should be", file)
	}
	if s.pid, err = strconv.Atoi(string(text[:name])); err != nil {
		return s, err
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, err
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, err
		}
		s.ticks += n
	}
	return s, nil
}
