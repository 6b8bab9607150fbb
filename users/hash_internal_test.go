package users

import (
	"testing"

	"signet/users/passhash"
)

// cheap are parameters for tests: a hash takes some ten microseconds.
var cheap = Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}

// The kind of what is made now is known without making a hash: a login with another
// kind is upgraded.
func TestKindOfOwnHashes(t *testing.T) {
	for _, p := range []Params{cheap, {MemoryKiB: 128, Time: 3, Threads: 4}} {
		if got := HashKind(passhash.Argon2id(p.MemoryKiB, p.Time, p.Threads, "correct horse")); got != p.kind() || got == "" {
			t.Errorf("kind %q, want %q", got, p.kind())
		}
	}
	for _, none := range []string{"", "!unusable", "password"} {
		if got := HashKind(none); got != "" {
			t.Errorf("%q has the kind %q", none, got)
		}
	}
}

func TestParamsCheck(t *testing.T) {
	tests := []struct {
		name string
		p    Params
		ok   bool
	}{
		{"default", Params{MemoryKiB: 19 * 1024, Time: 2, Threads: 1, Queue: 64}, true},
		{"smallest", Params{MemoryKiB: 8, Time: 1, Threads: 1}, true},
		{"largest", Params{MemoryKiB: maxMemoryKiB, Time: 4, Threads: maxThreads}, true},
		{"most passes", Params{MemoryKiB: maxMemoryKiB / 4, Time: maxTime, Threads: maxThreads}, true},
		{"too much together", Params{MemoryKiB: maxMemoryKiB, Time: 5, Threads: 1}, false},
		{"zero", Params{}, false},
		{"no memory", Params{MemoryKiB: 7, Time: 1, Threads: 1}, false},
		{"no time", Params{MemoryKiB: 8, Threads: 1}, false},
		{"too much memory", Params{MemoryKiB: maxMemoryKiB + 1, Time: 1, Threads: 1}, false},
		{"too much time", Params{MemoryKiB: 8, Time: maxTime + 1, Threads: 1}, false},
		{"too many threads", Params{MemoryKiB: 1024, Time: 1, Threads: maxThreads + 1}, false},
		{"negative queue", Params{MemoryKiB: 8, Time: 1, Threads: 1, Queue: -1}, false},
	}
	for _, tt := range tests {
		if err := tt.p.Check(); (err == nil) != tt.ok {
			t.Errorf("%s: Check() = %v, want ok = %v", tt.name, err, tt.ok)
		}
	}
}
