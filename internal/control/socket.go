package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// socketEvery is how often Watch looks for the socket.
const socketEvery = time.Second

var (
	errSocketGone  = errors.New("it was removed")
	errSocketTaken = errors.New("another file is in its place")
)

// socket listens at a path, with mode 0600. The file there is told from others by its
// inode, which is not used again while this process listens.
type socket struct {
	net.Listener
	path string
	file fs.FileInfo
}

// bind makes the socket; where there is a file already, it fails.
func bind(path string) (_ *socket, err error) {
	listener, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			listener.Close()
		}
	}()
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("protect %s: %w", path, err)
	}
	file, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	return &socket{Listener: listener, path: path, file: file}, nil
}

// missing says why whoever goes to the path does not come here.
func (s *socket) missing() error {
	file, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errSocketGone
	case err != nil:
		return err
	case !os.SameFile(file, s.file):
		return errSocketTaken
	}
	return nil
}

// Close removes the file too, if it is still this socket's.
func (s *socket) Close() error {
	if s.missing() == nil {
		os.Remove(s.path)
	}
	return s.Listener.Close()
}

// renewed listens on the socket of the server, whichever that is.
type renewed struct{ *Server }

func (r renewed) Accept() (net.Conn, error) {
	for {
		socket := r.listening()
		conn, err := socket.Accept()
		if err == nil || socket == r.listening() {
			return conn, err
		}
	}
}

func (r renewed) Close() error   { return r.listening().Close() }
func (r renewed) Addr() net.Addr { return r.listening().Addr() }

func (s *Server) listening() *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.socket
}

// Watch makes the socket anew when something has removed it, until ctx ends. It takes
// nothing away from who put another file there.
func (s *Server) Watch(ctx context.Context) {
	tick := time.NewTicker(socketEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.renew()
		}
	}
}

// renew looks once.
func (s *Server) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	err := s.socket.missing()
	if errors.Is(err, errSocketGone) {
		var next *socket
		if next, err = bind(s.path); err == nil {
			s.log.Warn("the control socket was removed; made anew", "socket", s.path)
			s.socket.Listener.Close() // Accept goes on with the next, once this lets go of mu
			s.socket = next
		}
	}
	s.tell(err)
}

// tell logs what keeps commands from this server, once for each cause.
func (s *Server) tell(err error) {
	cause := ""
	if err != nil {
		cause = err.Error()
	}
	if cause != s.told && err != nil {
		s.log.Warn("commands do not reach this server through its control socket", "socket", s.path, "cause", cause,
			"do", "move away what is there; the socket is made anew by itself")
	}
	s.told = cause
}
