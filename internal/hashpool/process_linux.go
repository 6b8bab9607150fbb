package hashpool

import (
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// niceness is by how much the worker is nicer than the server: where cores are scarce,
	// logins wait and requests do not.
	niceness = 5
	// nicest is the largest nice value.
	nicest = 19
)

// executable is this program, also after an upgrade has replaced its file: the two speak
// one language.
func executable() (string, error) { return "/proc/self/exe", nil }

// lowered starts a process with a lower priority. Linux has a nice value for each thread,
// and a process inherits that of the thread which starts it. That thread never gives its
// goroutine away, so it ends with it.
func lowered(start func() error) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			// The main thread never ends. While it is held here, another goroutine has another.
			err := lowered(start)
			runtime.UnlockOSThread()
			started <- err
			return
		}
		keepFiles()
		beNice() // where that is forbidden, the two are equals
		started <- start()
	}()
	return <-started
}

func beNice() {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err == nil {
		nice := 20 - raw // getpriority(2), C library/kernel differences
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, min(nice+niceness, nicest))
	}
}

// keepFiles keeps from the worker what the server itself has inherited; the files that Go
// opens are closed for it anyway.
func keepFiles() {
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// Rename gives this process a name of its own in lists; that of its file is exe.
func Rename() { _ = os.WriteFile("/proc/self/comm", []byte("signet-hash"), 0) }

// polled is a pipe as one that the runtime's poller waits for. A read that blocks would
// hold a place where Go code runs, until the runtime notices, and with it a core.
func polled(in io.Reader) io.Reader {
	pipe, ok := in.(*os.File)
	if !ok {
		return in
	}
	fd := pipe.Fd()
	if syscall.SetNonblock(int(fd), true) != nil {
		return in
	}
	return os.NewFile(fd, pipe.Name())
}

// hugeBytes is the part of the heap that huge pages may be used for, for each core.
const hugeBytes = 64 << 20

// preferHugePages asks for huge pages where the memory of hashes will be: Argon2 reads it
// all over. The heap grows by a block that is never written, and the hashes are made in
// its place. Without such pages a hash takes a little longer.
func preferHugePages() {
	_ = unix.Madvise(make([]byte, runtime.GOMAXPROCS(0)*hugeBytes), unix.MADV_HUGEPAGE)
	runtime.GC()
}
