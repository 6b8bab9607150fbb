//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// djangoDump writes n users with hashes as Django has them, ten groups and their
// permissions after them.
func djangoDump(tb testing.TB, path string, n int) {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	out := bufio.NewWriter(file)
	fmt.Fprint(out, "[")
	for i := range n {
		fmt.Fprintf(out, `{"model":"auth.user","pk":%d,"fields":{"password":"pbkdf2_sha256$1000000$salt%018d$d5vkDJoMIlsr9SE8A5VTj/vxPtZEXUW1nUO1sxXXr3Y=",`+
			`"last_login":null,"is_superuser":false,"username":"user%06d","first_name":"Given","last_name":"Family","email":"user%d@example.test",`+
			`"is_staff":false,"is_active":true,"date_joined":"2019-03-04T05:06:07.123Z","groups":[%d],"user_permissions":[%d]}},`+"\n", i+1, i, i, i, i%10, i%40)
	}
	for i := range 10 {
		fmt.Fprintf(out, `{"model":"auth.group","pk":%d,"fields":{"name":"group%d","permissions":[%d,%d]}},`+"\n", i, i, i, i+1)
	}
	for i := range 40 {
		fmt.Fprintf(out, `{"model":"auth.permission","pk":%d,"fields":{"name":"x","content_type":["app","order"],"codename":"do_%d"}},`+"\n", i, i)
	}
	fmt.Fprint(out, `{"model":"sites.site","pk":1,"fields":{}}]`)
	if err := out.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
}

// TestImportInManyBatches: more than a request holds, all of it once.
func TestImportInManyBatches(t *testing.T) {
	d := newDoor(t)
	path := filepath.Join(t.TempDir(), "users.json")
	djangoDump(t, path, 1234)
	for i, want := range []string{"1,234 created, 0 updated, 0 unchanged", "0 created, 0 updated, 1,234 unchanged"} {
		out, errs, exit := d.run("", "users", "import", path)
		if exit != 0 || !strings.Contains(out, "imported 1,234 users from ") || !strings.Contains(out, want+"; 0 refused") {
			t.Errorf("import %d: exit %d\n%s%s", i, exit, out, errs)
		}
	}
	if n := len(d.userNames()); n != 1234 {
		t.Errorf("%d accounts", n)
	}
	if log := d.server.waitLog(t, `op="users import" target="200 created"`); strings.Contains(log, "pbkdf2") {
		t.Errorf("the log:\n%.2000s", log)
	}
}

// TestExportIsWholeOrNothing: no file is left where an export could not end.
func TestExportIsWholeOrNothing(t *testing.T) {
	d := newDoor(t)
	d.stop()
	path := filepath.Join(t.TempDir(), "all.jsonl")
	if err := os.Remove(filepath.Join(d.dir, "signet.db")); err != nil {
		t.Fatal(err)
	}
	_, errs, exit := d.run("", "users", "export", path)
	if exit != 1 || !strings.Contains(errs, "there is no database at") {
		t.Errorf("exit %d: %s", exit, errs)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is there: %v", err)
	}
}

// BenchmarkImport imports 100,000 users of Django into a new directory; 1,000 with -short.
func BenchmarkImport(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 1000
	}
	path := filepath.Join(b.TempDir(), "users.json")
	djangoDump(b, path, n)
	for _, running := range []bool{true, false} {
		b.Run(fmt.Sprintf("server=%t", running), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				dir := filepath.Join(b.TempDir(), "data")
				stop := benchServer(b, dir)
				if !running {
					stop()
				}
				b.StartTimer()
				cmd := exec.Command(binary, "users", "import", path, "--data", dir)
				cmd.Env = testEnv(algorithms)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				b.StopTimer()
				stop()
				b.StartTimer()
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "users/s")
		})
	}
}

// benchServer starts a server, and returns how to stop it.
func benchServer(b *testing.B, dir string) (stop func()) {
	b.Helper()
	addr, err := freeAddress()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = testEnv(algorithms)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	b.Cleanup(stop)
	if err := waitFor(30*time.Second, func() error { return isReady(addr) }); err != nil {
		b.Fatal(err)
	}
	return stop
}
