package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"signet/internal/event"
)

// Database writes consistent copies of itself.
type Database interface {
	// Snapshot tells begin the instant and the size, and writes to what it returns.
	Snapshot(ctx context.Context, begin func(taken time.Time, size int64) (io.Writer, error)) error
}

// backupName is the one operation whose answer is no JSON: the bytes of a snapshot, which
// has no bound, with its length, and its instant in a header.
const (
	backupName  = "backup"
	takenHeader = "Signet-Taken"
)

// stall is how long either side of a snapshot waits for the other to take or give the
// next bytes: a command that hangs holds no snapshot for long, a large database may take
// as long as it takes.
const stall = 15 * time.Second

// backupRequest names the file, for the log.
type backupRequest struct {
	File string `json:"file"`
}

func (r backupRequest) target() string { return r.File }

// Backup writes a snapshot of the database behind the door to to, and returns its
// instant. After an error what was written is worth nothing. file is where it goes, for
// the server's log.
func Backup(ctx context.Context, door Door, file string, to io.Writer) (taken time.Time, err error) {
	return door.snapshot(ctx, backupRequest{file}, to)
}

var errNoDatabase = errors.New("there is no database to back up")

func (l local) snapshot(ctx context.Context, in backupRequest, to io.Writer) (taken time.Time, err error) {
	if l.operator.Database == nil {
		return taken, explain(errNoDatabase)
	}
	err = l.operator.Database.Snapshot(ctx, func(at time.Time, _ int64) (io.Writer, error) {
		taken = at
		return to, nil
	})
	l.operator.recordBackup(asSelf(ctx), in, err)
	return taken, err
}

// recordBackup puts on record that hashes and sealed keys have left, or were asked for. A
// backup does not depend on it: it may be what the operator needs before mending the disk.
func (o *Operator) recordBackup(ctx context.Context, in backupRequest, err error) {
	if o.Audit == nil {
		return
	}
	e := event.Event{Kind: event.Command, Outcome: event.Done, Action: backupName, Target: in.File, Cause: err}
	if err != nil {
		e.Outcome = event.Failed
	}
	_ = o.Audit.Record(ctx, e) // the audit log itself says that it cannot be written
}

func (r *Remote) snapshot(ctx context.Context, in backupRequest, to io.Writer) (taken time.Time, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waits := time.AfterFunc(r.stall, func() { cancel(fmt.Errorf("it sent nothing for %s", r.stall)) })
	defer waits.Stop()
	resp, err := r.begin(ctx, in)
	if err != nil {
		return taken, r.brokeOff(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
		if err != nil {
			return taken, r.brokeOff(ctx, err)
		}
		return taken, refusal(resp.Status, answer)
	}
	if taken, err = time.Parse(time.RFC3339Nano, resp.Header.Get(takenHeader)); err != nil || resp.ContentLength < 0 {
		return taken, errors.New("backup: the server's answer cannot be read")
	}
	from := patientReader{Reader: resp.Body, waits: waits, stall: r.stall}
	if _, err := io.Copy(to, &from); from.err != nil {
		return taken, r.brokeOff(ctx, from.err)
	} else if err != nil {
		return taken, err
	}
	return taken, nil
}

func (r *Remote) begin(ctx context.Context, in backupRequest) (*http.Response, error) {
	req, err := r.request(ctx, backupName, in)
	if err != nil {
		return nil, err
	}
	endless := http.Client{Transport: r.client.Transport}
	return endless.Do(req)
}

func (r *Remote) brokeOff(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &Error{
		Message: fmt.Sprintf("the server on %s broke off: %v", r.path, err),
		Hint:    "look at the server's log, and try again",
	}
}

// patientReader lets waits run while it reads, and keeps the error.
type patientReader struct {
	io.Reader
	waits *time.Timer
	stall time.Duration
	err   error
}

func (p *patientReader) Read(b []byte) (int, error) {
	p.waits.Reset(p.stall)
	n, err := p.Reader.Read(b)
	p.waits.Stop()
	if err != nil && err != io.EOF {
		p.err = err
	}
	return n, err
}

// backup answers with a snapshot. One that fails on the way is shorter than it said.
func (h handler) backup(w http.ResponseWriter, r *http.Request, request []byte) {
	var in backupRequest
	err := decode(request, &in)
	if err == nil && h.operator.Database == nil {
		err = errNoDatabase
	}
	if err != nil {
		h.failed(backupName, in.target(), err)
		reply(w, http.StatusUnprocessableEntity, explain(err))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	out := &stream{ResponseController: http.NewResponseController(w), w: w, ctx: ctx, stall: h.stall}
	defer context.AfterFunc(ctx, out.interrupt)()
	err = h.operator.Database.Snapshot(ctx, out.begin)
	h.operator.recordBackup(r.Context(), in, err)
	if err == nil {
		h.log.Info("operator's command", "op", backupName, "target", in.target(), "bytes", out.size)
		return
	}
	h.log.Warn("operator's command failed", "op", backupName, "target", in.target(), "error", err)
	if out.begun {
		panic(http.ErrAbortHandler)
	}
	reply(w, http.StatusInternalServerError, explain(err))
}

// stream sends a snapshot to a client, and gives up one that takes nothing.
type stream struct {
	*http.ResponseController
	w     http.ResponseWriter
	ctx   context.Context
	stall time.Duration
	begun bool
	size  int64
}

func (s *stream) begin(taken time.Time, size int64) (io.Writer, error) {
	s.begun, s.size = true, size
	s.w.Header().Set("Content-Type", "application/octet-stream")
	s.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	s.w.Header().Set(takenHeader, taken.UTC().Format(time.RFC3339Nano))
	return s, nil
}

func (s *stream) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
		return 0, err
	}
	if err := s.ctx.Err(); err != nil { // after the deadline, which an interrupt may have moved before
		return 0, err
	}
	return s.w.Write(p)
}

// interrupt ends a write under way.
func (s *stream) interrupt() { s.SetWriteDeadline(time.Unix(1, 0)) }

// refusal reads an answer that is not the result.
func refusal(status string, answer []byte) *Error {
	refused := &Error{}
	if json.Unmarshal(answer, refused) != nil || refused.Message == "" {
		refused.Message = "the server answered " + status
	}
	return refused
}
