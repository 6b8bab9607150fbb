package control

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what sun_path holds (unix(7)).
const maxSocketPath = 107

// shortPath reaches a socket in a directory with a long name through the
// directory's descriptor. The caller calls done once the socket is reached.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { dir.Close() }, nil
}

// listenUnix leaves the file alone when the listener closes.
func listenUnix(path string) (net.Listener, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// peerUID asks the kernel who is at the other end.
func peerUID(conn *net.UnixConn) (int, error) {
	p, err := peer(conn)
	return p.UID, err
}

// peer asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
func peer(conn *net.UnixConn) (Process, error) {
	unknown := Process{UID: -1}
	raw, err := conn.SyscallConn()
	if err != nil {
		return unknown, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return unknown, err
	}
	if failed != nil {
		return unknown, failed
	}
	return Process{PID: int(cred.Pid), UID: int(cred.Uid)}, nil
}
