package pgstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// wire is what lies between a store and its database: it counts round trips, and cuts a
// connection where it is told to.
type wire struct {
	mu    sync.Mutex
	trips int
	// cut is looked for in what is sent. Once it is there, the connection ends: before
	// it is sent, or after the server has answered.
	cut    []byte
	answer bool
	cuts   int
}

// between opens a store over the wire. Statements go in plain text, so that they can be
// recognised, and by one connection.
func (w *wire) between(t *testing.T, url string, opts Options) *Store {
	t.Helper()
	config, name, err := parse(url)
	must(t, err)
	return w.open(t, config, name, opts)
}

func (w *wire) open(t *testing.T, config *pgxpool.Config, name string, opts Options) *Store {
	t.Helper()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return &wired{Conn: c, w: w}, err
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	s, err := open(t.Context(), config, name, opts)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// cutAt ends a connection on which text is sent, times times.
func (w *wire) cutAt(text string, answer bool, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.answer, w.cuts = []byte(text), answer, times
}

// left is how many cuts did not come to pass.
func (w *wire) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts
}

// counted is how many round trips do makes.
func (w *wire) counted(do func()) int {
	w.mu.Lock()
	before := w.trips
	w.mu.Unlock()
	do()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trips - before
}

// wired is a connection on the wire. A round trip is a write after a read.
type wired struct {
	net.Conn
	w     *wire
	wrote bool // since the last read; guarded by w.mu
}

var errCut = errors.New("the wire was cut")

func (c *wired) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	if !c.wrote {
		c.w.trips++
	}
	c.wrote = true
	cut := c.w.cuts > 0 && bytes.Contains(b, c.w.cut)
	if cut {
		c.w.cuts--
	}
	answer := c.w.answer
	c.w.mu.Unlock()
	if cut && !answer {
		return 0, errors.Join(&net.OpError{Op: "write", Err: errCut}, c.Conn.Close())
	}
	n, err := c.Conn.Write(b)
	if cut && err == nil {
		// The first byte of the answer says that the server has begun; that it has
		// ended its transaction is known from what follows, after which it waits.
		_, err = readReady(c.Conn)
		return n, errors.Join(err, c.Conn.Close())
	}
	return n, err
}

// readReady reads messages of the protocol up to ReadyForQuery.
func readReady(r io.Reader) (int, error) {
	for head := make([]byte, 5); ; {
		if _, err := io.ReadFull(r, head); err != nil {
			return 0, err
		}
		length := int64(head[1])<<24 | int64(head[2])<<16 | int64(head[3])<<8 | int64(head[4])
		if _, err := io.CopyN(io.Discard, r, length-4); err != nil {
			return 0, err
		}
		if head[0] == 'Z' {
			return 0, nil
		}
	}
}

func (c *wired) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.wrote = false
	return n, err
}
