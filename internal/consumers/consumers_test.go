package consumers

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// host is the i-th IPv4 address of a range of 65,536.
func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

func fetch(name, agent string, from netip.Addr, at time.Time) Fetch {
	return Fetch{Name: name, Address: from, UserAgent: agent, ETag: `"v1"`, KIDs: []string{"k1"}, At: at}
}

// names are the names of the consumers that have one.
func names(t *Table) (names []string) {
	for _, c := range t.List() {
		if c.Name != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestOneConsumer(t *testing.T) {
	table := New()
	table.Note(fetch("billing", "a/1", host(1), begin))
	f := fetch("billing", "a/2", host(2), begin.Add(time.Hour))
	f.ETag, f.KIDs = `"v2"`, []string{"k1", "k2"}
	table.Note(f)
	want := []Consumer{{Name: "billing", Address: host(2), UserAgent: "a/2", First: begin, Last: begin.Add(time.Hour),
		ETag: `"v2"`, KIDs: []string{"k1", "k2"}, Regular: true}}
	if got := table.List(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestWhoIsOneConsumer: a name alone; without one an address and a User-Agent.
func TestWhoIsOneConsumer(t *testing.T) {
	long := strings.Repeat("x", maxAgent)
	same := func(a, b Fetch) int {
		table := New()
		table.Note(a)
		table.Note(b)
		return len(table.List())
	}
	tests := []struct {
		what string
		a, b Fetch
		want int
	}{
		{"two names", fetch("a", "u", host(1), begin), fetch("b", "u", host(1), begin), 2},
		{"a name and none", fetch("a", "u", host(1), begin), fetch("", "u", host(1), begin), 2},
		{"a name and its text as User-Agent", fetch("a", "", netip.Addr{}, begin), fetch("", "a", netip.Addr{}, begin), 2},
		{"names in two cases", fetch("a", "u", host(1), begin), fetch("A", "u", host(1), begin), 2},
		{"two addresses", fetch("", "u", host(1), begin), fetch("", "u", host(2), begin), 2},
		{"two User-Agents", fetch("", "u", host(1), begin), fetch("", "v", host(1), begin), 2},
		{"no address", fetch("", "u", netip.Addr{}, begin), fetch("", "u", netip.Addr{}, begin), 1},
		{"what is cut off", fetch("", long+"a", host(1), begin), fetch("", long+"b", host(1), begin), 1},
	}
	for _, c := range tests {
		if got := same(c.a, c.b); got != c.want {
			t.Errorf("%s: %d consumers, want %d", c.what, got, c.want)
		}
	}
}

func TestListIsSorted(t *testing.T) {
	table := New()
	for _, f := range []Fetch{
		fetch("", "b", host(1), begin), fetch("", "a", host(1), begin), fetch("", "z", netip.MustParseAddr("10.0.0.1"), begin),
		fetch("orders", "", host(9), begin), fetch("billing", "", host(9), begin),
	} {
		table.Note(f)
	}
	var got []string
	for _, c := range table.List() {
		got = append(got, cmp.Or(c.Name, c.Address.String()+" "+c.UserAgent))
	}
	if want := "[billing orders 10.0.0.1 z 198.18.0.1 a 198.18.0.1 b]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// regulars are consumers that came back after an hour.
func regulars(table *Table, n int) {
	for _, at := range []time.Time{begin, begin.Add(regularAfter)} {
		for i := range n {
			table.Note(fetch(fmt.Sprintf("service-%d", i), "go", host(i), at))
		}
	}
}

// TestFloodsPushOutNoRegularConsumer: forged names, User-Agents and addresses, from one
// network and from many, also ones that come back as patiently as a service does.
func TestFloodsPushOutNoRegularConsumer(t *testing.T) {
	const services, flood = 200, 60_000
	floods := map[string]func(i int) Fetch{
		"names":       func(i int) Fetch { return fetch(fmt.Sprint("n", i), "x", host(1), time.Time{}) },
		"User-Agents": func(i int) Fetch { return fetch("", fmt.Sprint("u", i), host(1), time.Time{}) },
		"addresses":   func(i int) Fetch { return fetch("", "x", host(i), time.Time{}) },
		"all": func(i int) Fetch {
			return fetch(fmt.Sprint("n", i), fmt.Sprint("u", i), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), time.Time{})
		},
	}
	for what, forged := range floods {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			table := New()
			regulars(table, services)
			at := begin.Add(regularAfter)
			for _, wait := range []time.Duration{0, 2 * regularAfter, 2 * regularAfter} {
				at = at.Add(wait)
				for i := range flood {
					f := forged(i)
					f.At = at
					table.Note(f)
				}
			}
			if got := len(table.List()); got > sets*ways {
				t.Errorf("%d consumers, more than %d", got, sets*ways)
			}
			left := 0
			for _, name := range names(table) {
				if strings.HasPrefix(name, "service-") {
					left++
				}
			}
			if left != services {
				t.Errorf("%d of %d services are left", left, services)
			}
			if table.Forgotten() == 0 {
				t.Error("the table does not say that it is not complete")
			}
		})
	}
}

// TestFloodFromOneNetworkKeepsNobodyOut: who is new to the table can still become regular.
func TestFloodFromOneNetworkKeepsNobodyOut(t *testing.T) {
	table := New()
	for round := range 4 {
		at := begin.Add(time.Duration(round) * 2 * regularAfter)
		for i := range 20_000 {
			table.Note(fetch("", fmt.Sprint("u", i), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i)), at))
		}
		if round > 0 {
			table.Note(fetch("billing", "go", host(1), at))
		}
	}
	if got := table.List(); got[0].Name != "billing" || !got[0].Regular {
		t.Errorf("the first consumer is %+v", got[0])
	}
}

// TestPlaces: whose place a new consumer takes, in one set.
func TestPlaces(t *testing.T) {
	fill := func(s *set, until int, regular bool) {
		for i := range until {
			f := fetch("", "u", host(i), begin.Add(time.Duration(i)*time.Minute))
			s.note(uint64(i+1), &f)
			s.slots[i].consumer.Regular = regular
		}
	}
	has := func(s *set, key uint64) bool {
		for i := range s.slots {
			if s.slots[i].key == key && !s.slots[i].free() {
				return true
			}
		}
		return false
	}
	var full set
	fill(&full, ways, false)
	f := fetch("", "u", host(100), begin.Add(time.Hour))
	if full.note(100, &f) || !has(&full, 100) || has(&full, 1) {
		t.Error("the visitor that was seen least recently did not make room")
	}
	var kept set
	fill(&kept, ways, true)
	if kept.note(100, &f) || has(&kept, 100) {
		t.Error("a visitor took the place of a regular consumer")
	}
	f.At = begin.Add(regularFor + time.Second)
	if kept.note(100, &f) || !has(&kept, 100) || has(&kept, 1) {
		t.Error("a regular consumer that stayed away kept its place")
	}
	var shared set
	fill(&shared, 2, false)
	for i := range uint64(20) {
		f := fetch("", "u", netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i)), begin.Add(time.Hour))
		shared.note(200+i, &f)
	}
	if n := len(shared.list(nil)); n != 2+share {
		t.Errorf("a network has %d places of a set, want %d", n-2, share)
	}
}

func TestTextIsBoundedAndPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"curl/8.0": "curl/8.0", "": "", "a\x1b[31mb": "a�[31mb", "a\tb": "a�b", "a\u202eb": "a�b", "\xff": "�", "ä": "ä",
		strings.Repeat("x", 300):                                 strings.Repeat("x", 200),
		strings.Repeat("\x01", 200):                              strings.Repeat("�", 66),
		strings.Repeat("x", 199) + "ä":                           strings.Repeat("x", 199),
		strings.Repeat("x", 198) + "ä" + strings.Repeat("y", 10): strings.Repeat("x", 198) + "ä",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is kept as %q, want %q", in, got, want)
		}
	}
}

// TestSeenAgainAllocatesNothing and takes no hold of the request's text.
func TestSeenAgainAllocatesNothing(t *testing.T) {
	table := New()
	for _, f := range []Fetch{fetch("billing", "go", host(1), begin), fetch("", "go", host(1), begin)} {
		if n := testing.AllocsPerRun(1000, func() { table.Note(f) }); n != 0 {
			t.Errorf("%+v: %v allocations", f, n)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { NameIn("v=1&rs=billing&x=2") }); n != 0 {
		t.Errorf("NameIn: %v allocations", n)
	}
}

// TestMemoryIsBounded: a million forged consumers with the longest texts.
func TestMemoryIsBounded(t *testing.T) {
	table := New()
	agent := strings.Repeat("x", 4000)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 1_000_000 {
		f := fetch("", agent, netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)}), begin)
		f.KIDs = nil
		table.Note(f)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("%d bytes, more than 4 MiB", grown)
	}
	runtime.KeepAlive(table)
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	table := New()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				table.Note(fetch(fmt.Sprint("n", i%50), fmt.Sprint(g), host(i), begin.Add(time.Duration(i)*time.Minute)))
				if i%200 == 0 {
					table.List()
				}
			}
		})
	}
	wg.Wait()
	if got := len(table.List()); got != 50 {
		t.Errorf("%d consumers, want 50", got)
	}
}

func TestNameIn(t *testing.T) {
	for query, want := range map[string]string{
		"rs=billing": "billing", "a=b&rs=b-2_x.Y": "b-2_x.Y", "rs=a&": "a", "&&rs=a": "a", "rs=" + strings.Repeat("a", 64): strings.Repeat("a", 64),
		"": "", "rs": "", "rs=": "", "rs=a%20b": "", "rs=a;b": "", "rs=a b": "", "rs=ä": "", "rs=a&rs=a": "", "rs=a&rs=": "",
		"xrs=a": "", "RS=a": "", "rs=" + strings.Repeat("a", 65): "", "rs=a=b": "", "r%73=a": "",
	} {
		if got := NameIn(query); got != want {
			t.Errorf("%q names %q, want %q", query, got, want)
		}
	}
}

// FuzzConsumer: whatever a sender writes, what is kept can be shown and is short.
func FuzzConsumer(f *testing.F) {
	f.Add("rs=billing", "curl/8.0")
	f.Add("rs=a&rs=b", "\x1b]0;x\x07")
	f.Add("v=%zz&rs=a", strings.Repeat("\xff", 300))
	f.Fuzz(func(t *testing.T, query, agent string) {
		name := NameIn(query)
		if name != "" && (!validName(name) || !strings.Contains("&"+query+"&", "&rs="+name+"&")) {
			t.Errorf("%q names %q", query, name)
		}
		table := New()
		table.Note(fetch(name, agent, host(1), begin))
		table.Note(fetch(name, agent, host(1), begin))
		list := table.List()
		if len(list) != 1 {
			t.Fatalf("%d consumers, want 1", len(list))
		}
		kept := list[0].UserAgent
		if len(kept) > maxAgent || !utf8.ValidString(kept) || strings.ContainsFunc(kept, func(r rune) bool { return !unicode.IsPrint(r) && r != utf8.RuneError }) {
			t.Errorf("%q is kept as %q", agent, kept)
		}
	})
}
