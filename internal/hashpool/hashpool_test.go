//go:build unix

package hashpool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signet/users/passhash"
)

// TestMain is the worker too, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Command {
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		rest = time.Second
		if err := Work(os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// record keeps a log.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func newPool(t testing.TB) (*Pool, *record) {
	log := new(record)
	p := New(slog.New(slog.NewTextHandler(log, nil)), runtime.NumCPU())
	t.Cleanup(p.Close)
	return p, log
}

func mustParse(t testing.TB, encoded string) *passhash.Hash {
	t.Helper()
	h, err := passhash.Parse(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func wantMatch(t testing.TB, p *Pool, h *passhash.Hash, password string, want bool) {
	t.Helper()
	if got, err := p.Matches(h, password); got != want || err != nil {
		t.Errorf("%.20q: match %v, error %v, want %v", password, got, err, want)
	}
}

// TestPasswordsGoThrough: any bytes, up to the longest password, and none is cut.
func TestPasswordsGoThrough(t *testing.T) {
	p, _ := newPool(t)
	long := strings.Repeat("\xff", 1024)
	for _, password := range []string{"", "\x00", "nul\x00inside", "nul at the end\x00", "\xff\xfe\x80 no UTF-8", "e\u0301 and \u00e9", long} {
		there, err := p.Argon2id(64, 1, 1, password)
		if err != nil {
			t.Fatal(err)
		}
		h, own := mustParse(t, there), mustParse(t, passhash.Argon2id(64, 1, 1, password))
		if h.Kind() != own.Kind() || !h.Matches(password) || h.Matches(password+"\x00") {
			t.Errorf("%.20q: its hash by the worker is of %q and not that of the password", password, h.Kind())
		}
		wantMatch(t, p, own, password, true)
		wantMatch(t, p, own, password+"\x00", false)
		wantMatch(t, p, own, "another", false)
	}
	wantMatch(t, p, mustParse(t, passhash.Argon2id(64, 1, 1, long)), long[:1023], false)
}

// TestEachScheme: hashes that other programs made, of every scheme.
func TestEachScheme(t *testing.T) {
	p, _ := newPool(t)
	schemes := map[string]bool{}
	for _, file := range []string{"django-5.2.json", "others.json"} {
		text, err := os.ReadFile("../../users/passhash/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var entries []struct{ Password, Encoded, Wrong string }
		if err := json.Unmarshal(text, &entries); err != nil || len(entries) == 0 {
			t.Fatalf("%s: %d entries, error %v", file, len(entries), err)
		}
		for _, e := range entries {
			h := mustParse(t, e.Encoded)
			scheme, cost, _ := strings.Cut(h.Kind(), " ")
			if len(cost) > len("m=1024,t=1,p=1") || strings.Contains(cost, "000") || cost == "c=12" {
				continue // as long as in earnest
			}
			schemes[scheme] = true
			wantMatch(t, p, h, e.Password, true)
			wantMatch(t, p, h, e.Wrong, false)
		}
	}
	if len(schemes) != 7 {
		t.Errorf("only %v were compared", schemes)
	}
}

// TestAnswersFindTheirQuestions: many at once, of different lengths, get each its own.
func TestAnswersFindTheirQuestions(t *testing.T) {
	p, _ := newPool(t)
	right := mustParse(t, passhash.Argon2id(64, 1, 1, "right"))
	costly := mustParse(t, passhash.Argon2id(4096, 1, 1, "right"))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			h := right
			if i%3 == 0 {
				h = costly
			}
			password, want := "right", true
			if i%2 == 0 {
				password, want = "wrong", false
			}
			wantMatch(t, p, h, password, want)
		})
	}
	all.Wait()
}

// TestKilledWorker: what is under way fails with ErrEnded, the log says so once, and the
// next hash is computed, by another worker.
func TestKilledWorker(t *testing.T) {
	p, log := newPool(t)
	p.Start()
	first := p.worker
	failed := make(chan error, 3)
	for range cap(failed) {
		go func() { _, err := p.Argon2id(1<<20, 4, 1, "correct horse"); failed <- err }()
	}
	until(t, func() bool { return first.underWay() == cap(failed) })
	first.cmd.Process.Kill()
	for range cap(failed) {
		if err := <-failed; !errors.Is(err, ErrEnded) {
			t.Errorf("under way: %v, want %v", err, ErrEnded)
		}
	}
	if _, err := p.Argon2id(64, 1, 1, "correct horse"); err != nil || p.worker == first {
		t.Errorf("the next: %v; another worker: %v", err, p.worker != first)
	}
	until(t, func() bool { return strings.Contains(log.String(), "the hash worker ended") })
	if text := log.String(); strings.Count(text, "level=") != 1 || !strings.Contains(text, "signal: killed") || strings.Contains(text, "horse") {
		t.Errorf("the log:\n%s", text)
	}
}

func (w *worker) underWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

func until(t testing.TB, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
	}
}

// TestPauseBetweenStarts: a worker that dies at once is not started more often.
func TestPauseBetweenStarts(t *testing.T) {
	p, _ := newPool(t)
	var starts []time.Time
	begin := p.start
	p.start = func() (*worker, error) { starts = append(starts, time.Now()); return begin() }
	for range 3 {
		p.Start()
		p.worker.kill()
		<-p.worker.ended
	}
	for i, at := range starts[1:] {
		if waited := at.Sub(starts[i]); waited < pause || waited > 5*pause {
			t.Errorf("start %d came %v after the one before", i+2, waited)
		}
	}
	if len(starts) != 3 {
		t.Errorf("%d starts", len(starts))
	}
}

// TestNoWorker: where none can be started hashes are computed here, and it is tried again,
// but not at every login.
func TestNoWorker(t *testing.T) {
	p, log := newPool(t)
	begin, tries := p.start, 0
	p.start = func() (*worker, error) { tries++; return nil, syscall.EPERM }
	h := mustParse(t, passhash.Argon2id(64, 1, 1, "right"))
	for range 3 {
		wantMatch(t, p, h, "right", true)
		wantMatch(t, p, h, "wrong", false)
	}
	if text := log.String(); tries != 1 || strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "operation not permitted") {
		t.Errorf("%d tries, and the log:\n%s", tries, text)
	}
	p.start, p.next = begin, time.Now()
	wantMatch(t, p, h, "right", true)
	if p.worker == nil {
		t.Error("it is not tried again")
	}
}

// TestHungWorker: one that does not answer is replaced.
func TestHungWorker(t *testing.T) {
	p, _ := newPool(t)
	p.Start()
	p.worker.patience = 200 * time.Millisecond
	if err := p.worker.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Argon2id(64, 1, 1, "correct horse"); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want %v", err, ErrEnded)
	}
	if _, err := p.Argon2id(64, 1, 1, "correct horse"); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// TestClose: the worker has ended then, a stopped one too, without a word in the log.
func TestClose(t *testing.T) {
	for name, signal := range map[string]os.Signal{"as usual": syscall.SIGTERM, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			p, log := newPool(t)
			wantMatch(t, p, mustParse(t, passhash.Argon2id(64, 1, 1, "right")), "right", true)
			if err := p.worker.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			p.Close()
			if p.worker.cmd.ProcessState == nil {
				t.Error("the worker lives")
			}
			if _, err := p.Argon2id(64, 1, 1, "correct horse"); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want %v", err, ErrClosed)
			}
			if log.String() != "" {
				t.Errorf("the log:\n%s", log)
			}
		})
	}
}

// TestCrashNamesItsCause, and no more of it than a line.
func TestCrashNamesItsCause(t *testing.T) {
	p, log := newPool(t)
	p.Start()
	p.worker.in.Write([]byte(strings.Repeat("correct horse ", 20))) // no request: the worker of this test panics
	<-p.worker.ended
	until(t, func() bool { return strings.Contains(log.String(), "the hash worker ended") })
	if text := log.String(); !strings.Contains(text, "no request of a server") || strings.Contains(text, "goroutine") || strings.Contains(text, "horse") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestMemory: one hash after another is made in the same memory, and nothing of it is kept
// by a worker that rests.
func TestMemory(t *testing.T) {
	const hash = 32 << 20
	p, _ := newPool(t)
	compute := func() (most int) {
		if _, err := p.Argon2id(hash>>10, 1, 1, "correct horse"); err != nil {
			t.Fatal(err)
		}
		return p.worker.memory(t, "VmHWM")
	}
	first, last := compute(), 0
	for range 8 {
		last = compute()
	}
	if last > first+hash/2 || last < hash {
		t.Errorf("%d MiB at most for a hash of %d MiB, and %d for more of them", first>>20, hash>>20, last>>20)
	}
	until(t, func() bool { return p.worker.memory(t, "VmRSS") < last-hash*3/4 })
}

// memory is what the system says of the worker's memory, in bytes.
func (w *worker) memory(t testing.TB, what string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		t.Skipf("SKIPPED: only Linux tells the memory of a process: %v", err)
	}
	_, line, _ := strings.Cut(string(status), what+":")
	kibibytes, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kibibytes << 10
}

// TestWorkRefuses what is no request, without repeating it, and a hash that is none.
func TestWorkRefuses(t *testing.T) {
	if err := Work(strings.NewReader("correct horse"), new(bytes.Buffer)); err == nil || err.Error() != "what it read is no request of a server" {
		t.Errorf("garbage: %v", err)
	}
	if err := Work(strings.NewReader(""), new(bytes.Buffer)); err != nil {
		t.Errorf("nothing: %v", err)
	}
	p, _ := newPool(t)
	for _, r := range []request{
		{Kind: "argon2id m=99999999,t=1,p=1", Salt: make([]byte, 16), Key: make([]byte, 32)},
		{Kind: "md5 i=1", Salt: make([]byte, 16), Key: make([]byte, 16)},
		{Kind: "argon2id m=64,t=1,p=1", Salt: make([]byte, 16)},
	} {
		if _, err := p.do(r); err == nil || errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "hash") {
			t.Errorf("%s: %v", r.Kind, err)
		}
	}
}

// BenchmarkMatch is what another process costs, beside this one, with the least hash.
func BenchmarkMatch(b *testing.B) {
	h := mustParse(b, passhash.Argon2id(8, 1, 1, "right"))
	p, _ := newPool(b)
	for name, match := range map[string]func() (bool, error){
		"here":   func() (bool, error) { return h.Matches("right"), nil },
		"worker": func() (bool, error) { return p.Matches(h, "right") },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := match(); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
