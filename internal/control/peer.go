package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"
)

// Process is who listens on a control socket.
type Process struct{ PID, UID int }

// ServerProcess asks the kernel which process listens on the socket at path. The PID is
// 0 if that process is not visible from here, as between containers. Without a server
// the error is ErrNoServer.
func ServerProcess(ctx context.Context, path string) (Process, error) {
	conn, err := dialUnix(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return Process{UID: -1}, ErrNoServer
	case err != nil:
		return Process{UID: -1}, err
	}
	defer conn.Close()
	return peer(conn.(*net.UnixConn))
}
