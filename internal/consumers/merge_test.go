package consumers

import (
	"reflect"
	"testing"
	"time"
)

// TestMerge: of one consumer at several servers the last fetch counts, and the first says
// since when it is known.
func TestMerge(t *testing.T) {
	lists := make([][]Consumer, 2)
	a, b := New(), New()
	note := func(table *Table, f Fetch, etag string, kids ...string) {
		f.ETag, f.KIDs = etag, kids
		table.Note(f)
	}
	note(a, fetch("billing", "go", host(1), begin), "v1", "k1")
	note(b, fetch("billing", "go", host(2), begin.Add(2*regularAfter)), "v2", "k1", "k2")
	note(a, fetch("", "curl", host(1), begin.Add(time.Minute)), "v2", "k1", "k2")
	note(b, fetch("", "curl", host(1), begin), "v1", "k1")
	note(b, fetch("", "curl", host(2), begin), "v1", "k1")
	for i, table := range []*Table{a, b} {
		table.Places(func(_ int, c Consumer) { lists[i] = append(lists[i], c) })
	}
	want := []Consumer{
		{Name: "billing", Address: host(2), UserAgent: "go", First: begin, Last: begin.Add(2 * regularAfter), ETag: "v2", KIDs: []string{"k1", "k2"}, Regular: true},
		{Address: host(1), UserAgent: "curl", First: begin, Last: begin.Add(time.Minute), ETag: "v2", KIDs: []string{"k1", "k2"}},
		{Address: host(2), UserAgent: "curl", First: begin, Last: begin, ETag: "v1", KIDs: []string{"k1"}},
	}
	for _, order := range [][][]Consumer{lists, {lists[1], lists[0]}} {
		if got := Merge(order...); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// TestPlacesStay: a consumer has one place, and no two have the same.
func TestPlacesStay(t *testing.T) {
	table := New()
	for i := range 1000 {
		table.Note(fetch("", "u", host(i), begin))
	}
	of, taken := make(map[string]int), make(map[int]bool)
	table.Places(func(place int, c Consumer) {
		if taken[place] || place < 0 || place >= sets*ways {
			t.Errorf("place %d", place)
		}
		taken[place], of[c.Address.String()] = true, place
	})
	for i := range 1000 {
		table.Note(fetch("", "u", host(i), begin.Add(time.Minute)))
	}
	seen := 0
	table.Places(func(place int, c Consumer) {
		if at, known := of[c.Address.String()]; known && at == place {
			seen++
		}
	})
	if seen != len(table.List()) || seen < 900 {
		t.Errorf("%d of %d are where they were", seen, len(table.List()))
	}
}
