//go:build !linux

package control

import (
	"context"
	"net"
	"os"
)

func listenUnix(path string) (net.Listener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// peerUID trusts the modes of the socket (0600) and of its directory (0700),
// which these systems check on connect.
func peerUID(*net.UnixConn) (int, error) { return os.Geteuid(), nil }

// peer knows no process: only the user is told, by the modes.
func peer(*net.UnixConn) (Process, error) { return Process{UID: os.Geteuid()}, nil }
