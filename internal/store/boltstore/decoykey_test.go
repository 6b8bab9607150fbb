package boltstore

import (
	"bytes"
	"sync"
	"testing"
)

// The key is the same for all who ask, from start to start.
func TestDecoyKeyStays(t *testing.T) {
	path := newPath(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var keys [8][]byte
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := s.DecoyKey(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openTest(t, path).DecoyKey(t.Context())
	if err != nil || len(again) != 32 {
		t.Fatalf("%d bytes, %v", len(again), err)
	}
	for _, key := range keys {
		if !bytes.Equal(key, again) {
			t.Error("two callers have two keys")
		}
	}
	other, err := openTest(t, newPath(t)).DecoyKey(t.Context())
	if err != nil || bytes.Equal(other, again) {
		t.Errorf("another database has the same key (%v)", err)
	}
}
