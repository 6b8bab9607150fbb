package issuer

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestSessionIDs: in the form of all IDs, in order of time, and not to be guessed.
func TestSessionIDs(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)
	form := regexp.MustCompile(`^[0-9a-f]{32}$`)
	var ids []string
	random := map[string]bool{}
	for n := range 2000 {
		id := newSessionID(start.Add(time.Duration(n) * time.Millisecond))
		if !form.MatchString(id) {
			t.Fatalf("%q is not of 32 hexadecimal characters", id)
		}
		ids = append(ids, id)
		random[id[12:]] = true
	}
	if !slices.IsSorted(ids) {
		t.Error("the IDs are not in order of time")
	}
	if len(random) != len(ids) {
		t.Errorf("%d different random parts in %d IDs", len(random), len(ids))
	}
	for bit := range 80 { // each is as often 0 as 1: 2000 tosses leave 1000 ± 224 (10 sigma)
		ones := 0
		for _, id := range ids {
			if digit := id[12+bit/4]; (hexValue(digit)>>(bit%4))&1 == 1 {
				ones++
			}
		}
		if ones < 776 || ones > 1224 {
			t.Errorf("random bit %d is set in %d of %d IDs", bit, ones, len(ids))
		}
	}
}

func hexValue(digit byte) byte {
	if digit >= 'a' {
		return digit - 'a' + 10
	}
	return digit - '0'
}

// A clock before 1970, or after the year 10889, is no reason for another form.
func TestSessionIDsOfStrangeClocks(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.UnixMilli(0), "000000000000"},
		{time.Time{}, "000000000000"},
		{time.UnixMilli(0x0123456789AB), "0123456789ab"},
		{time.UnixMilli(1<<48 - 1), "ffffffffffff"},
		{time.UnixMilli(1<<48 + 5), "ffffffffffff"},
	} {
		if id := newSessionID(c.at); id[:12] != c.want || len(id) != 32 {
			t.Errorf("%v: %s, want %s and 20 more", c.at, id, c.want)
		}
	}
}
