package boltstore

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// becomeNobody gives the file to an unprivileged user and lets this goroutine alone
// open files as that user: root may open everything.
func becomeNobody(t *testing.T, path string) {
	t.Helper()
	const nobody = 65534
	for _, p := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread() // the identity is the thread's
	unix.SetfsuidRetUid(nobody)
	t.Cleanup(func() {
		unix.SetfsuidRetUid(0)
		runtime.UnlockOSThread()
	})
	if uid, _ := unix.SetfsuidRetUid(nobody); uid != nobody {
		t.Fatalf("files are opened as user %d", uid)
	}
}
