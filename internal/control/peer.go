package control

import (
	"context"
	"net"
)

// Process is who listens on a control socket.
type Process struct{ PID, UID int }

// ServerProcess asks the kernel which process listens on the socket at path. The PID is
// 0 if that process is not visible from here, as between containers.
func ServerProcess(ctx context.Context, path string) (Process, error) {
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return Process{}, err
	}
	defer conn.Close()
	return peer(conn.(*net.UnixConn))
}
