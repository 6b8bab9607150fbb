//go:build !linux

package control

import (
	"context"
	"net"
	"os"
)

// listenUnix leaves the file alone when the listener closes.
func listenUnix(path string) (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// peerUID trusts the modes of the socket (0600) and of its directory (0700),
// which these systems check on connect.
func peerUID(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// peer knows no process: only the user is told, by the modes.
func peer(*net.UnixConn) (Process, error) { return Process{UID: os.Geteuid()}, nil }
