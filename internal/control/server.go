package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"signet/internal/connlimit"
)

// Server answers operations on a unix socket.
type Server struct {
	http http.Server
	path string
	log  *slog.Logger
	stop context.CancelFunc // ends backups, which Shutdown does not wait for

	mu     sync.Mutex // guards what follows
	socket *socket
	closed bool
	told   string // what the log has said of the socket
}

// Listen takes the socket at path, with mode 0600. The caller must own the
// database: a socket that is found there then has no server and is replaced.
func Listen(path string, o *Operator, log *slog.Logger) (*Server, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	socket, err := bind(path)
	if err != nil {
		return nil, err
	}
	stopping, stop := context.WithCancel(context.Background())
	s := &Server{path: path, log: log, socket: socket, stop: stop}
	s.http = http.Server{
		Handler:           handler{operator: o, log: log, stopping: stopping, stall: stall},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      callTimeout, // a later answer has no reader
		MaxHeaderBytes:    8 << 10,
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// removeStale removes the socket of a server that was killed, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for the socket of an earlier server: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is not a socket: move it away, the server's control socket belongs there", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of an earlier server: %w", err)
	}
	return nil
}

// Connections is how many a server keeps open at once.
const Connections = 64

// Serve answers until Shutdown; it then returns nil.
func (s *Server) Serve() error {
	listener := connlimit.Bound(&s.http, sameUser{Listener: renewed{s}, log: s.log}, Connections, s.log,
		"look for who keeps them open on "+s.path)
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Shutdown lets operations under way end, until ctx does, and removes the socket. A
// backup under way is broken off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	defer s.listening().Close() // also without Serve
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// sameUser accepts only connections of processes of the server's own user, or of
// root: the mode of the socket says the same, and not every system looks at it.
type sameUser struct {
	net.Listener
	log *slog.Logger
}

func (l sameUser) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn.(*net.UnixConn))
		if err == nil && (uid == os.Geteuid() || uid == 0) {
			return operatorConn{Conn: conn, uid: operatorUID(uid)}, nil
		}
		l.log.Warn("refused a connection to the control socket", "peer_uid", uid, "error", err)
		conn.Close()
	}
}

// withPeer makes requests on the connection those of its other end.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if uid, ok := conn.RemoteAddr().(operatorUID); ok {
		return asOperator(ctx, int(uid))
	}
	return ctx
}

// operatorConn is a connection that sameUser has admitted. Its address is the other end's
// user: that stays in reach through whatever wraps it.
type operatorConn struct {
	net.Conn
	uid operatorUID
}

// RemoteAddr implements net.Conn.
func (c operatorConn) RemoteAddr() net.Addr { return c.uid }

// operatorUID is the system's user id at the other end.
type operatorUID int

// Network implements net.Addr.
func (operatorUID) Network() string { return "unix" }

// String implements net.Addr.
func (u operatorUID) String() string { return "uid " + strconv.Itoa(int(u)) }

type handler struct {
	operator *Operator
	log      *slog.Logger
	stopping context.Context
	stall    time.Duration
}

// pathPrefix carries the version of the protocol.
const pathPrefix = "/v1/"

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.ReplaceAll(strings.TrimPrefix(r.URL.Path, pathPrefix), "/", " ")
	op, ok := operations[name]
	ok = ok || name == backupName
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, pathPrefix) || !ok {
		reply(w, http.StatusNotFound, &Error{
			Message: fmt.Sprintf("the running server does not know %q", name),
			Hint:    "signet version  # the server may be older than this command: restart it",
		})
		return
	}
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestLimit))
	if err != nil {
		reply(w, http.StatusBadRequest, errRequest)
		return
	}
	if name == backupName {
		h.backup(w, r, request)
		return
	}
	out, target, err := op.do(h.operator, r.Context(), request)
	if err != nil {
		h.failed(name, target, err)
		reply(w, http.StatusUnprocessableEntity, explain(err))
		return
	}
	level := slog.LevelDebug
	if op.changes {
		level = slog.LevelInfo
	}
	h.log.Log(r.Context(), level, "operator's command", "op", name, "target", target)
	reply(w, http.StatusOK, out)
}

// failed says in the log what came of a command that ends with an error.
func (h handler) failed(op, target string, err error) {
	what := "operator's command refused"
	if errors.Is(err, errUnrecorded) {
		what = "operator's command done, and not on record"
	}
	h.log.Info(what, "op", op, "target", target, "error", err)
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text)
}
