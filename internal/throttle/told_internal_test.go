package throttle

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

var sampleTold = told{
	proofs: []toldProof{
		{1, provedAt{proof: proof{account: 2, address: 3}, clears: true}, time.Second},
		{1<<64 - 1, provedAt{proof: proof{account: 5, address: 6}, known: true}, 0},
	},
	charges: []toldCharge{
		{flightKey{pair, 7}, 1, time.Millisecond, 0},
		{flightKey{site, 8}, maxFailures, longAgo, longAgo},
	},
}

func TestMalformedBatches(t *testing.T) {
	body := sampleTold.body()
	change := func(at int, to byte) []byte {
		b := bytes.Clone(body)
		b[at] = to
		return b
	}
	charges := 2 + 2*(1+3*8) + 3 + 1 // version and number, the proofs, their ages
	tests := []struct {
		what string
		body []byte
	}{
		{"nothing", nil},
		{"cut short", body[:len(body)-1]},
		{"something after it", append(bytes.Clone(body), 0)},
		{"another version", change(0, 2)},
		{"more proofs than there are", change(1, 3)},
		{"too many proofs", []byte{toldVersion, 0x81, 0x80, 0x01, 0}},
		{"flags without a meaning", change(2, 4)},
		{"another kind of counter", change(charges+1, byte(kinds))},
		{"too long", append([]byte{toldVersion}, make([]byte, MaxBody)...)},
		{"a number without an end", append([]byte{toldVersion}, bytes.Repeat([]byte{0xff}, 11)...)},
	}
	if body[charges] != 2 || body[charges+1] != byte(pair) {
		t.Fatalf("the charges are not at %d of %x", charges, body)
	}
	for _, test := range tests {
		if _, err := parseTold(test.body); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %v, want %v", test.what, err, errMalformed)
		}
	}
}

// FuzzParseTold: what is read is what was written, and all else is refused.
func FuzzParseTold(f *testing.F) {
	f.Add(sampleTold.body())
	f.Add(told{}.body())
	f.Add([]byte{toldVersion, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0x03, 1, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		read, err := parseTold(body)
		if err != nil {
			return
		}
		again, err := parseTold(read.body())
		if err != nil || !bytes.Equal(again.body(), read.body()) {
			t.Errorf("%x is read as %v, written and read as %v, %v", body, read, again, err)
		}
	})
}

// TestLargestBatch fits, and is read as it was written.
func TestLargestBatch(t *testing.T) {
	var largest told
	for range maxProofs {
		largest.proofs = append(largest.proofs, toldProof{1, provedAt{proof{2, 3, 4}, true, true}, longAgo})
	}
	for range maxCharges {
		largest.charges = append(largest.charges, toldCharge{flightKey{site, 1}, maxFailures, longAgo, longAgo})
	}
	body := largest.body()
	read, err := parseTold(body)
	if err != nil || len(read.proofs) != maxProofs || len(read.charges) != maxCharges {
		t.Errorf("%d bytes are read as %d proofs and %d charges, %v", len(body), len(read.proofs), len(read.charges), err)
	}
}

// TestFlightsAreBounded, and those with the most failures stay.
func TestFlightsAreBounded(t *testing.T) {
	f := newFlights()
	f.use(flightKey{pair, 1}, 100).unsent = 1
	for i := range uint64(3 * maxFlights) {
		if flight := f.use(flightKey{account, i}, 1); flight != nil {
			flight.unsent = 1
		}
	}
	if len(f.of) != maxFlights {
		t.Errorf("%d flights, want %d", len(f.of), maxFlights)
	}
	if f.of[flightKey{pair, 1}] == nil {
		t.Error("the counter with the most failures was given up")
	}
	taken := 0
	for i := range 2 * maxFlights / maxCharges {
		told := f.take(0)
		if i == 0 && told.charges[0].flightKey != (flightKey{pair, 1}) {
			t.Error("the counter with the most failures is not told first")
		}
		taken += len(told.charges)
		for range rounds + 1 {
			f.age(1, true)
		}
	}
	if taken != maxFlights || len(f.of) != 0 {
		t.Errorf("%d of %d were told, %d are left", taken, maxFlights, len(f.of))
	}
}
