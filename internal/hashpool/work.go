package hashpool

import (
	"encoding/gob"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"signet/users/passhash"
)

// request is a comparison with a hash, or a new hash if it has no Kind.
type request struct {
	ID              uint64
	Password        []byte
	Kind            string
	Salt, Key       []byte
	MemoryKiB, Time uint32
	Threads         uint8
}

// answer is that of the request with this ID.
type answer struct {
	ID    uint64
	Match bool
	Hash  string
	Fault string
}

func (r request) compute() answer {
	if r.Kind == "" {
		return answer{ID: r.ID, Hash: passhash.Argon2id(r.MemoryKiB, r.Time, r.Threads, string(r.Password))}
	}
	h, err := passhash.FromParts(r.Kind, r.Salt, r.Key)
	if err != nil {
		return answer{ID: r.ID, Fault: err.Error()}
	}
	return answer{ID: r.ID, Match: h.Matches(string(r.Password))}
}

// rest is how long after its last hash a worker keeps the memory of it.
var rest = 10 * time.Second

// Work answers the requests of a Pool, in any order, until there are no more. Those that
// it has not answered then are of nobody: the server has ended.
//
// Memory is collected after each hash and at no other time: then the next one gets the
// pages of the one before, which the system need not clear and the caches hold already,
// and the process has as much as the hashes under way take.
func Work(in io.Reader, out io.Writer) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	preferHugePages()
	idle := time.AfterFunc(rest, debug.FreeOSMemory)
	defer idle.Stop()

	requests, answers := gob.NewDecoder(polled(in)), gob.NewEncoder(out)
	var writing sync.Mutex
	for {
		var r request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return errors.New("what it read is no request of a server") // and perhaps a secret
		}
		go func() {
			a := r.compute()
			runtime.GC()
			idle.Reset(rest)
			writing.Lock()
			defer writing.Unlock()
			_ = answers.Encode(a) // fails if the server has ended
		}()
	}
}
