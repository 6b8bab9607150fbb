package throttle

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// peers is what a replica knows of the others. All but key and flights is Share's alone.
type peers struct {
	secret  []byte
	replica int64
	flights flights

	number int64         // of the last batch made
	unsure *made         // a batch of which it is not known that it was stored
	beaten time.Duration // when the last batch was made
	swept  time.Duration
	seen   map[int64]int64         // the last batch heard, by replica
	alive  map[int64]time.Duration // when that was made
}

// made is a batch and when it was made.
type made struct {
	batch Batch
	at    time.Duration
}

func newPeers(key []byte) *peers {
	return &peers{
		secret: key, replica: randomID(), flights: newFlights(), swept: -Kept,
		seen: make(map[int64]int64), alive: make(map[int64]time.Duration),
	}
}

func randomID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1)
}

// key is a subject's at all replicas. The secret keeps who does not know it from aiming
// at another's slot. It hides nothing from who reads the whole database, where it lies
// too: IPv4 addresses and names of accounts are soon tried.
func (p *peers) key(s subject) uint64 {
	mac := hmac.New(sha256.New, p.secret)
	net := s.net.As16()
	_, _ = mac.Write([]byte{byte(s.kind), byte(s.net.BitLen())})
	_, _ = mac.Write(net[:])
	_, _ = mac.Write([]byte(s.name))
	return binary.BigEndian.Uint64(mac.Sum(nil))
}

// next is the batch to store: the last one until it was stored, so that a replica's
// batches appear in order and none twice.
func (p *peers) next(now time.Duration) Batch {
	if p.unsure == nil {
		t := p.flights.take(now)
		if t.empty() && p.number > 0 && now-p.beaten < beat {
			return Batch{Replica: p.replica}
		}
		p.number++
		p.beaten = now
		p.unsure = &made{Batch{Replica: p.replica, Number: p.number, Body: t.body()}, now}
	}
	b := p.unsure.batch
	b.Age = max(0, now-p.unsure.at)
	return b
}

// told notes that a batch is stored.
func (p *peers) told(b Batch) {
	if b.Number > 0 {
		p.unsure = nil
	}
}

// fresh reports whether a batch is to be counted, which it is once.
func (p *peers) fresh(b Batch, now time.Duration) bool {
	if b.Replica == p.replica || b.Number <= p.seen[b.Replica] {
		return false
	}
	p.seen[b.Replica] = b.Number
	p.alive[b.Replica] = now - b.Age
	return true
}

// settle ends a round, whether the others were heard or not: it counts who is there,
// and forgets who was silent so long that no batch of it is left.
func (p *peers) settle(now time.Duration, heard bool) {
	others := 0
	for id, at := range p.alive {
		switch {
		case now-at > 2*Kept:
			delete(p.alive, id)
			delete(p.seen, id)
		case now-at <= silence:
			others++
		}
	}
	p.flights.age(others, heard)
}

func (p *peers) sweep(ctx context.Context, x Exchange, now time.Duration) error {
	if now-p.swept < Kept/10 {
		return nil
	}
	if err := x.Sweep(ctx); err != nil {
		return err
	}
	p.swept = now
	return nil
}
