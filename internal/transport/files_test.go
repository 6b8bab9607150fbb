package transport

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/transport/transporttest"
)

// pairs is a directory with a pair of files, a clock and a log.
type pairs struct {
	t    *testing.T
	ca   *transporttest.CA
	dir  string
	now  time.Time
	log  bytes.Buffer
	opts FilesOptions
}

func newPairs(t *testing.T) *pairs {
	p := &pairs{t: t, ca: transporttest.NewCA(t), dir: t.TempDir(), now: time.Now()}
	p.opts = FilesOptions{
		Cert: filepath.Join(p.dir, "cert.pem"), Key: filepath.Join(p.dir, "key.pem"), Host: "login.example.com",
		Now: func() time.Time { return p.now }, Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	return p
}

// issue makes a pair that is valid from now on, in days.
func (p *pairs) issue(from, until int) transporttest.Pair {
	return p.ca.Issue(p.now.Add(time.Duration(from)*day), p.now.Add(time.Duration(until)*day), "login.example.com")
}

func (p *pairs) open(pair transporttest.Pair) *Files {
	p.t.Helper()
	pair.Write(p.t, p.dir)
	f, err := OpenFiles(p.opts)
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// said returns what was logged since the last call.
func (p *pairs) said() string {
	defer p.log.Reset()
	return p.log.String()
}

func serves(t *testing.T, f *Files, want transporttest.Pair) {
	t.Helper()
	cert, err := f.TLSConfig().GetCertificate(nil)
	if err != nil || !cert.Leaf.Equal(want.Leaf) {
		t.Errorf("another certificate is served: %v", err)
	}
	if !f.NotAfter().Equal(want.Leaf.NotAfter) {
		t.Errorf("expires %s, want %s", f.NotAfter(), want.Leaf.NotAfter)
	}
}

// broken are the ways in which files cannot be served, with what is said of each.
var broken = []struct {
	name  string
	write func(p *pairs, good transporttest.Pair)
	want  error
	text  string
}{
	{"expired", func(p *pairs, _ transporttest.Pair) { p.issue(-2, -1).Write(p.t, p.dir) }, ErrExpired, "cert.pem: the certificate has expired: "},
	{"of tomorrow", func(p *pairs, _ transporttest.Pair) { p.issue(1, 2).Write(p.t, p.dir) }, ErrNotYetValid, "cert.pem: the certificate is not valid yet: it is from "},
	{"key of another", func(p *pairs, good transporttest.Pair) {
		transporttest.Pair{Cert: good.Cert, Key: p.issue(0, 1).Key}.Write(p.t, p.dir)
	}, ErrMismatch, "key.pem: the private key is not that of the certificate"},
	{"half a certificate", func(p *pairs, good transporttest.Pair) {
		transporttest.Replace(p.t, p.opts.Cert, good.Cert[:len(good.Cert)/2])
	}, nil, "failed to find any PEM data in certificate input"},
	{"half a key", func(p *pairs, good transporttest.Pair) {
		transporttest.Replace(p.t, p.opts.Key, good.Key[:len(good.Key)/2])
	}, nil, "failed to find any PEM data in key input"},
	{"empty", func(p *pairs, _ transporttest.Pair) { transporttest.Replace(p.t, p.opts.Cert, nil) }, nil, "failed to find any PEM data in certificate input"},
	{"switched", func(p *pairs, good transporttest.Pair) {
		transporttest.Pair{Cert: good.Key, Key: good.Cert}.Write(p.t, p.dir)
	}, nil, "PEM inputs may have been switched"},
	{"encrypted key", func(p *pairs, _ transporttest.Pair) {
		transporttest.Replace(p.t, p.opts.Key, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	}, ErrEncrypted, "key.pem: the private key is encrypted"},
	{"key that is gone", func(p *pairs, _ transporttest.Pair) { os.Remove(p.opts.Key) }, fs.ErrNotExist, "key.pem: no such file"},
	{"a directory", func(p *pairs, _ transporttest.Pair) {
		os.Remove(p.opts.Cert)
		os.Mkdir(p.opts.Cert, 0o700)
	}, nil, "cert.pem: is a directory"},
	{"a huge file", func(p *pairs, good transporttest.Pair) {
		transporttest.Replace(p.t, p.opts.Cert, append(bytes.Repeat([]byte("#\n"), maxFile), good.Cert...))
	}, nil, "cert.pem is longer than the 256 KiB"},
}

func TestBrokenPairsAreRefusedAtTheStart(t *testing.T) {
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			p := newPairs(t)
			good := p.issue(-1, 60)
			good.Write(t, p.dir)
			tt.write(p, good)
			_, err := OpenFiles(p.opts)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %q", err, tt.text)
			}
		})
	}
}

// TestBrokenPairsReplaceNothing swaps a good pair for each broken one: the old one is
// served, the log says why once the files rest, once, and a mended pair is taken.
func TestBrokenPairsReplaceNothing(t *testing.T) {
	for _, tt := range broken {
		t.Run(tt.name, func(t *testing.T) {
			p := newPairs(t)
			good := p.issue(-1, 60)
			f := p.open(good)
			tt.write(p, good)
			f.look()
			if said := p.said(); said != "" {
				t.Errorf("files that were just changed are told of: %s", said)
			}
			f.look()
			for _, want := range []string{"level=ERROR", "stays in force", tt.text, "cert=" + p.opts.Cert, "in_force_until=" + stamp(good.Leaf.NotAfter), "do="} {
				if !strings.Contains(p.log.String(), want) {
					t.Errorf("the log does not hold %q: %s", want, p.log.String())
				}
			}
			p.said()
			f.look()
			if said := p.said(); said != "" {
				t.Errorf("told again: %s", said)
			}
			serves(t, f, good)
			p.now = p.now.Add(day - time.Second)
			f.look()
			if said := p.said(); said != "" && tt.name != "of tomorrow" {
				t.Errorf("told again within a day: %s", said)
			}
			p.now = p.now.Add(time.Second)
			f.look()
			if !strings.Contains(p.log.String(), tt.text) && tt.name != "of tomorrow" {
				t.Errorf("not told again after a day: %s", p.log.String())
			}
			p.said()
			os.Remove(p.opts.Cert) // the directory
			mended := p.issue(-1, 90)
			mended.Write(t, p.dir)
			f.look()
			serves(t, f, mended)
			if said := p.said(); !strings.Contains(said, "is in force for new connections") || !strings.Contains(said, stamp(mended.Leaf.NotAfter)) {
				t.Errorf("the log does not say that it is mended: %s", said)
			}
		})
	}
}

// TestPairOfTomorrow is taken when its time has come, without a change of the files.
func TestPairOfTomorrow(t *testing.T) {
	p := newPairs(t)
	today, tomorrow := p.issue(-1, 60), p.issue(1, 90)
	f := p.open(today)
	tomorrow.Write(t, p.dir)
	f.look()
	f.look()
	serves(t, f, today)
	p.now = p.now.Add(day + time.Second)
	f.look()
	serves(t, f, tomorrow)
}

// TestSwapInTwoSteps writes one file, is looked at, and writes the other: nobody is alarmed.
func TestSwapInTwoSteps(t *testing.T) {
	p := newPairs(t)
	before, after := p.issue(-1, 60), p.issue(-1, 90)
	f := p.open(before)
	transporttest.Replace(t, p.opts.Cert, after.Cert)
	f.look()
	serves(t, f, before)
	transporttest.Replace(t, p.opts.Key, after.Key)
	f.look()
	serves(t, f, after)
	if said := p.said(); strings.Contains(said, "ERROR") {
		t.Errorf("a swap alarms: %s", said)
	}
}

// TestFilesThatRestAreNotRead: looking at them costs two calls, and no parsing.
func TestFilesThatRestAreNotRead(t *testing.T) {
	p := newPairs(t)
	f := p.open(p.issue(-1, 60))
	before := f.current.Load()
	f.look()
	if f.current.Load() != before {
		t.Error("files that did not change were read again")
	}
	// The same content in a new file is read, and is no news.
	content, err := os.ReadFile(p.opts.Cert)
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Replace(t, p.opts.Cert, content)
	f.look()
	if f.current.Load() == before {
		t.Error("a file that was replaced was not read")
	}
	if said := p.said(); said != "" {
		t.Errorf("the same certificate is news: %s", said)
	}
}

func TestLinkThatLeadsElsewhere(t *testing.T) {
	p := newPairs(t)
	first, second := p.issue(-1, 60), p.issue(-1, 90)
	for name, pair := range map[string]transporttest.Pair{"1": first, "2": second} {
		dir := filepath.Join(p.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pair.Write(t, dir)
	}
	link := filepath.Join(p.dir, "now")
	p.opts.Cert, p.opts.Key = filepath.Join(link, "cert.pem"), filepath.Join(link, "key.pem")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFiles(p.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("2", link+".new"), os.Rename(link+".new", link)); err != nil {
		t.Fatal(err)
	}
	f.look()
	serves(t, f, second)
}

// TestStampTellsFilesApart also where all that is measured of them is equal.
func TestStampTellsFilesApart(t *testing.T) {
	dir, then := t.TempDir(), time.Now()
	stamp := func(name, text string) fileStamp {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
		return stampOf(path)
	}
	one := stamp("1", "a")
	if !one.same(stampOf(filepath.Join(dir, "1"))) {
		t.Error("a file is not itself")
	}
	if one.same(stamp("2", "b")) || one.same(stampOf(filepath.Join(dir, "3"))) {
		t.Error("another file is the same")
	}
	if none := stampOf(filepath.Join(dir, "3")); !none.same(fileStamp{}) {
		t.Error("two files that are not there differ")
	}
	if err := os.Chmod(filepath.Join(dir, "1"), 0o640); err != nil {
		t.Fatal(err)
	}
	if one.same(stampOf(filepath.Join(dir, "1"))) {
		t.Error("another mode is the same")
	}
}

// TestExpiry: once a day from 14 days before the end, and beyond it.
func TestExpiry(t *testing.T) {
	p := newPairs(t)
	start := p.now
	f := p.open(p.issue(-1, 60))
	for _, tt := range []struct {
		at   time.Duration
		want string
	}{
		{45 * day, ""}, {46*day + time.Minute, "level=WARN"}, {46*day + 2*time.Minute, ""}, {47*day + 2*time.Minute, "ends soon"},
		{60*day + time.Minute, "level=ERROR"}, {60*day + 2*time.Minute, ""}, {61*day + time.Minute, "has expired, and clients refuse it"},
	} {
		p.now = start.Add(tt.at)
		f.look()
		if said := p.said(); !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("after %s: %q, want %q", tt.at, said, tt.want)
		}
	}
}

func TestShortLifeIsNotAlwaysAtItsEnd(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		life, left time.Duration
		want       bool
	}{
		{90 * day, 14*day + 1, false}, {90 * day, 14*day - 1, true}, {8 * day, 2*day + 1, false}, {8 * day, 2*day - 1, true},
	} {
		leaf := &x509.Certificate{NotBefore: now.Add(tt.left - tt.life), NotAfter: now.Add(tt.left)}
		if got := endsSoon(leaf, now); got != tt.want {
			t.Errorf("%s left of %s: ends soon %v", tt.left, tt.life, got)
		}
	}
}

func TestReloadSaysWhatCameOfIt(t *testing.T) {
	p := newPairs(t)
	good := p.issue(-1, 60)
	f := p.open(good)
	f.Reload()
	if said := p.said(); !strings.Contains(said, "hold what is in force already") {
		t.Errorf("unchanged: %s", said)
	}
	for range 2 { // at once, and each time
		os.Remove(p.opts.Key)
		f.Reload()
		if said := p.said(); !strings.Contains(said, "no such file") {
			t.Errorf("broken: %s", said)
		}
	}
	good.Write(t, p.dir)
	f.Reload()
	if said := p.said(); !strings.Contains(said, "is in force for new connections") || strings.Contains(said, "already") {
		t.Errorf("mended: %s", said)
	}
	serves(t, f, good)
}

func TestPairThatIsServedWithAWarning(t *testing.T) {
	p := newPairs(t)
	p.opts.Host = "other.example.com"
	p.issue(-1, 60).Write(t, p.dir)
	if err := os.Chmod(p.opts.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFiles(p.opts); err != nil {
		t.Fatal(err)
	}
	said := p.said()
	for _, want := range []string{"is not for the host of the issuer", "host=other.example.com", "others may read or change the private key", "mode=-rw-r--r--"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not hold %q: %s", want, said)
		}
	}
}

// TestRunLooksAtTheFiles without anybody connecting, and ends.
func TestRunLooksAtTheFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPairs(t)
		f := p.open(p.issue(-1, 60))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		after := p.issue(-1, 90)
		after.Write(t, p.dir)
		time.Sleep(lookEvery + time.Millisecond) // of the bubble
		synctest.Wait()
		serves(t, f, after)
		cancel()
		<-done
	})
}
