package clientaddr_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signet/internal/web/clientaddr"
)

// trusted are the proxies of all tests.
var trusted = mustParse("10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48", "::ffff:172.16.0.0/108", "fe80::/10")

func mustParse(texts ...string) []netip.Prefix {
	prefixes, err := clientaddr.ParsePrefixes(texts)
	if err != nil {
		panic(err)
	}
	return prefixes
}

func request(remote, header string, lines ...string) *http.Request {
	return &http.Request{RemoteAddr: remote, Header: http.Header{header: lines}}
}

func client(remote, header string, lines ...string) string {
	p := clientaddr.Proxies{Trusted: trusted, Header: header}
	a := p.Client(request(remote, header, lines...))
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func TestPeer(t *testing.T) {
	tests := []struct{ what, remote, want string }{
		{"IPv4", "203.0.113.9:1234", "203.0.113.9"},
		{"IPv6", "[2001:db8:ffff::9]:1234", "2001:db8:ffff::9"},
		{"IPv4-mapped", "[::ffff:203.0.113.9]:1234", "203.0.113.9"},
		{"zone", "[fe90::9%eth0]:1234", "fe90::9"},
		{"Unix socket", "@", ""},
		{"Unix socket with a path", "/run/proxy.sock", ""},
		{"none", "", ""},
		{"a name", "localhost:80", ""},
		{"garbage", "[::1", ""},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			for _, header := range []string{clientaddr.XForwardedFor, clientaddr.Forwarded} {
				zero := clientaddr.Proxies{Header: header}
				if got := zero.Client(request(test.remote, header, "198.51.100.7")); got.IsValid() != (test.want != "") ||
					got.IsValid() && got.String() != test.want {
					t.Errorf("trusting none, %s: %q, want %q", header, got, test.want)
				}
			}
		})
	}
}

func TestXForwardedFor(t *testing.T) {
	long := strings.Repeat("10.9.9.9, ", 40)
	tests := []struct {
		what, remote string
		lines        []string
		want         string
	}{
		{"untrusted peer", "203.0.113.9:1", []string{"198.51.100.7"}, "203.0.113.9"},
		{"Unix socket", "@", []string{"198.51.100.7"}, ""},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"empty header", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"peer IPv4-mapped", "[::ffff:10.0.0.1]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"peer with zone", "[fe80::1%eth0]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"prefix IPv4-mapped", "172.16.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"single address", "192.0.2.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"beside the single address", "192.0.2.2:1", []string{"198.51.100.7"}, "192.0.2.2"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"two lines", "10.0.0.1:1", []string{"198.51.100.7", "10.0.0.2,10.0.0.3"}, "198.51.100.7"},
		{"forged, left", "10.0.0.1:1", []string{"198.51.100.66, 198.51.100.7"}, "198.51.100.7"},
		{"forged, a line before", "10.0.0.1:1", []string{"198.51.100.66", "198.51.100.7"}, "198.51.100.7"},
		{"forged as a proxy", "10.0.0.1:1", []string{"198.51.100.66, 10.0.0.5, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"all are proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"port", "10.0.0.1:1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", "10.0.0.1:1", []string{"2001:DB8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with port", "10.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"IPv6 proxy", "10.0.0.1:1", []string{"2001:db8::7, 2001:db8:1::1"}, "2001:db8::7"},
		{"IPv4-mapped", "10.0.0.1:1", []string{"::ffff:198.51.100.7, ::ffff:10.0.0.2"}, "198.51.100.7"},
		{"zone", "10.0.0.1:1", []string{"2001:db8::7%eth0, fe80::1%eth0"}, "2001:db8::7"},
		{"tabs and spaces", "10.0.0.1:1", []string{" \t198.51.100.7\t , \t10.0.0.2 "}, "198.51.100.7"},

		{"unknown", "10.0.0.1:1", []string{"198.51.100.7, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"obfuscated", "10.0.0.1:1", []string{"198.51.100.7, _x, 10.0.0.2"}, "10.0.0.2"},
		{"garbage", "10.0.0.1:1", []string{"198.51.100.7, <script>, 10.0.0.2"}, "10.0.0.2"},
		{"garbage alone", "10.0.0.1:1", []string{"\x00\xff"}, "10.0.0.1"},
		{"empty entry", "10.0.0.1:1", []string{"198.51.100.7, , 10.0.0.2"}, "10.0.0.2"},
		{"trailing comma", "10.0.0.1:1", []string{"198.51.100.7,"}, "10.0.0.1"},
		{"empty line", "10.0.0.1:1", []string{"198.51.100.7", ""}, "10.0.0.1"},
		{"two addresses in one", "10.0.0.1:1", []string{"198.51.100.7 10.0.0.2"}, "10.0.0.1"},
		{"a network", "10.0.0.1:1", []string{"198.51.100.0/24"}, "10.0.0.1"},
		{"leading zeros", "10.0.0.1:1", []string{"198.051.100.007"}, "10.0.0.1"},
		{"a number", "10.0.0.1:1", []string{"3325256711"}, "10.0.0.1"},
		{"quotes", "10.0.0.1:1", []string{`"198.51.100.7"`}, "10.0.0.1"},
		{"Forwarded's syntax", "10.0.0.1:1", []string{"for=198.51.100.7"}, "10.0.0.1"},
		{"port without digits", "10.0.0.1:1", []string{"198.51.100.7:"}, "10.0.0.1"},
		{"port of letters", "10.0.0.1:1", []string{"198.51.100.7:http"}, "10.0.0.1"},
		{"port of six digits", "10.0.0.1:1", []string{"198.51.100.7:123456"}, "10.0.0.1"},
		{"no colon before the port", "10.0.0.1:1", []string{"[2001:db8::7]x80"}, "10.0.0.1"},
		{"open bracket", "10.0.0.1:1", []string{"[2001:db8::7"}, "10.0.0.1"},
		{"closing bracket", "10.0.0.1:1", []string{"2001:db8::7]"}, "10.0.0.1"},
		{"IPv4 in brackets", "10.0.0.1:1", []string{"[198.51.100.7]"}, "10.0.0.1"},
		{"31 proxies", "10.0.0.1:1", []string{"198.51.100.7, " + strings.TrimSuffix(long[:31*10], ", ")}, "198.51.100.7"},
		{"32 proxies", "10.0.0.1:1", []string{"198.51.100.7, " + strings.TrimSuffix(long[:32*10], ", ")}, "10.9.9.9"},
		{"32 proxies in as many lines", "10.0.0.1:1", slices.Concat([]string{"198.51.100.7"}, slices.Repeat([]string{"10.9.9.9"}, 32)), "10.9.9.9"},
		{"a long entry", "10.0.0.1:1", []string{"2001:db8::7%" + strings.Repeat("z", 1000)}, "10.0.0.1"},
		{"a megabyte", "10.0.0.1:1", []string{strings.Repeat("x", 1<<20)}, "10.0.0.1"},
		{"a megabyte on the left", "10.0.0.1:1", []string{strings.Repeat(",", 1<<20) + "198.51.100.7"}, "198.51.100.7"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			if got := client(test.remote, clientaddr.XForwardedFor, test.lines...); got != test.want {
				t.Errorf("the client of %.100q is %q, want %q", test.lines, got, test.want)
			}
		})
	}
}

func TestForwarded(t *testing.T) {
	tests := []struct {
		what  string
		lines []string
		want  string
	}{
		// RFC 7239 §4 and §7.1.
		{"example: port", []string{`For="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{"example: more parameters", []string{"for=198.51.100.60;proto=http;by=203.0.113.43"}, "198.51.100.60"},
		{"example: two", []string{"for=198.51.100.43, for=198.51.100.17"}, "198.51.100.17"},
		{"example: obfuscated", []string{`for="_gazonk"`}, "10.0.0.1"},
		{"example: hidden", []string{"for=_hidden, for=_SEVKISEK"}, "10.0.0.1"},

		{"unknown", []string{"for=198.51.100.7, for=unknown, for=10.0.0.2"}, "10.0.0.2"},
		{"two proxies", []string{"for=198.51.100.7, for=10.0.0.2"}, "198.51.100.7"},
		{"two lines", []string{"for=198.51.100.7", `for=10.0.0.3, for="10.0.0.2:80"`}, "198.51.100.7"},
		{"all are proxies", []string{"for=10.0.0.3, for=10.0.0.2"}, "10.0.0.3"},
		{"case of the name", []string{"FOR=198.51.100.7"}, "198.51.100.7"},
		{"for comes last", []string{"by=_me;host=example.org;for=198.51.100.7"}, "198.51.100.7"},
		{"extension", []string{`ext="a,b;c=\"d\"";for=198.51.100.7`}, "198.51.100.7"},
		{"extension with an escaped quote", []string{`for=198.51.100.7;ext="a,b\"c"`}, "198.51.100.7"},
		{"comma in a quoted-string", []string{`for=198.51.100.7;ext="a, for=198.51.100.66"`}, "198.51.100.7"},
		{"quoted-pair", []string{`for="198.51.100\.7"`}, "198.51.100.7"},
		{"backslash at the end of a quoted-string", []string{`for=198.51.100.66, for=198.51.100.7;ext="a\\"`}, "198.51.100.7"},
		{"obfuscated port", []string{`for="198.51.100.7:_http"`}, "198.51.100.7"},
		{"spaces around semicolons", []string{"for=198.51.100.7 ; proto=https"}, "198.51.100.7"},
		{"empty pairs", []string{";for=198.51.100.7;"}, "198.51.100.7"},
		{"IPv4-mapped", []string{`for="[::ffff:198.51.100.7]"`}, "198.51.100.7"},
		{"zone", []string{`for="[2001:db8::7%eth0]"`}, "2001:db8::7"},
		{"IPv6 without quotes", []string{"for=[2001:db8::7]:80"}, "2001:db8::7"},
		{"IPv6 without brackets", []string{`for="2001:db8::7"`}, "2001:db8::7"},
		{"for inside of another name", []string{"xfor=198.51.100.66;for=198.51.100.7"}, "198.51.100.7"},

		{"no for", []string{"for=198.51.100.7, proto=http"}, "10.0.0.1"},
		{"for twice", []string{"for=198.51.100.7;for=198.51.100.66"}, "10.0.0.1"},
		{"no value", []string{"for="}, "10.0.0.1"},
		{"no name", []string{"=198.51.100.7"}, "10.0.0.1"},
		{"no equals sign", []string{"198.51.100.7"}, "10.0.0.1"},
		{"space before the equals sign", []string{"for =198.51.100.7"}, "10.0.0.1"},
		{"space behind the equals sign", []string{"for= 198.51.100.7"}, "10.0.0.1"},
		{"space in quotes", []string{`for=" 198.51.100.7"`}, "10.0.0.1"},
		{"open quote", []string{`for="198.51.100.7`}, "10.0.0.1"},
		{"closing quote", []string{`for=198.51.100.7"`}, "10.0.0.1"},
		{"text behind a quoted-string", []string{`for="198.51.100.7"x`}, "10.0.0.1"},
		{"two values", []string{"for=198.51.100.7 198.51.100.66"}, "10.0.0.1"},
		{"empty", []string{""}, "10.0.0.1"},
		{"empty element", []string{"for=198.51.100.7, "}, "10.0.0.1"},
		{"garbage in another parameter", []string{"for=198.51.100.7;<>"}, "10.0.0.1"},
		{"backslash outside", []string{`for=198.51.100.7\`}, "10.0.0.1"},
		{"unfinished quoted-pair", []string{`for="198.51.100.7\`}, "10.0.0.1"},
		{"obfuscated port without a name", []string{`for="198.51.100.7:_"`}, "10.0.0.1"},
		{"obfuscated port of other characters", []string{`for="198.51.100.7:_a/b"`}, "10.0.0.1"},

		// The client's text cannot reach into what the proxy adds.
		{"attack: open quote", []string{`for="198.51.100.66, for=198.51.100.7`}, "198.51.100.7"},
		{"attack: open quote a line before", []string{`for="198.51.100.66`, `for=198.51.100.7`}, "198.51.100.7"},
		{"attack: backslash", []string{`for="198.51.100.66\, for=198.51.100.7`}, "198.51.100.7"},
		{"attack: open quote, quotes behind", []string{`for="198.51.100.66, for="198.51.100.7"`}, "198.51.100.7"},
		{"attack: escaped quote", []string{`x="\", for="198.51.100.7"`}, "198.51.100.7"},
		{"attack: a megabyte of quotes", []string{strings.Repeat(`\"`, 1<<19) + ",for=198.51.100.7"}, "198.51.100.7"},
		{"attack: a megabyte of backslashes", []string{`for=198.51.100.7;x="` + strings.Repeat(`\`, 1<<20) + `"`}, "10.0.0.1"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			before := slices.Clone(test.lines)
			if got := client("10.0.0.1:1", clientaddr.Forwarded, test.lines...); got != test.want {
				t.Errorf("the client of %.100q is %q, want %q", test.lines, got, test.want)
			}
			if !slices.Equal(test.lines, before) {
				t.Errorf("the request's header has been changed to %.100q", test.lines)
			}
		})
	}
}

// TestOnlyTheProxiesHeaderIsRead: what a client writes into the others is passed on
// by proxies that do not know them.
func TestOnlyTheProxiesHeaderIsRead(t *testing.T) {
	headers := http.Header{}
	headers.Set(clientaddr.XForwardedFor, "198.51.100.1")
	headers.Set(clientaddr.Forwarded, "for=198.51.100.2")
	headers.Set("X-Real-IP", "198.51.100.3")
	tests := []struct{ header, want string }{
		{"", "198.51.100.1"},
		{clientaddr.XForwardedFor, "198.51.100.1"},
		{clientaddr.Forwarded, "198.51.100.2"},
		{"X-Real-IP", "10.0.0.1"},
	}
	for _, test := range tests {
		p := clientaddr.Proxies{Trusted: trusted, Header: test.header}
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: headers}
		if got := p.Client(r).String(); got != test.want {
			t.Errorf("with %q: %s, want %s", test.header, got, test.want)
		}
	}
}

// TestOverListeners: what net/http says of real connections.
func TestOverListeners(t *testing.T) {
	p := clientaddr.Proxies{Trusted: mustParse("127.0.0.0/8", "::1")}
	got := make(chan netip.Addr, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- p.Client(r) })
	tests := []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:0", "198.51.100.7"},
		{"unix", filepath.Join(t.TempDir(), "socket"), "invalid IP"},
	}
	for _, test := range tests {
		t.Run(test.network, func(t *testing.T) {
			listener, err := net.Listen(test.network, test.address)
			if err != nil {
				t.Fatal(err)
			}
			server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
			server.Start()
			defer server.Close()
			conn, err := net.Dial(test.network, listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			text := "GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 198.51.100.66\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n"
			if _, err := conn.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if a := <-got; a.String() != test.want {
				t.Errorf("the client is %s, want %s", a, test.want)
			}
		})
	}
}

func TestParsePrefixes(t *testing.T) {
	got, err := clientaddr.ParsePrefixes([]string{"10.0.0.0/8", " 192.0.2.1 ", "2001:db8::/32", "::1", "::ffff:192.0.2.0/120", "::ffff:192.0.2.9"})
	want := []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128", "192.0.2.0/24", "192.0.2.9/32"}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("%s, want %s", got[i], want[i])
		}
	}
	if got, err := clientaddr.ParsePrefixes(nil); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
}

func TestParsePrefixesRefuses(t *testing.T) {
	neither := "is neither an address like 192.0.2.1 nor a network like 10.0.0.0/8"
	tests := []struct{ text, want string }{
		{"", neither},
		{"localhost", neither},
		{"10.0.0.0/33", neither},
		{"10.0.0/8", neither},
		{"10.0.0.0/8,192.0.2.1", neither},
		{"192.0.2.1:80", neither},
		{"[::1]", neither},
		{"fe80::%eth0/10", `"fe80::%eth0/10" has a zone`},
		{strings.Repeat("1", 1<<20), neither},
		{"fe80::1%eth0", `"fe80::1%eth0" has a zone; zones are not compared, write fe80::1`},
		{"10.0.0.1/8", `"10.0.0.1/8" is an address in the network 10.0.0.0/8; write which of the two is meant`},
		{"0.0.0.0/0", `"0.0.0.0/0" trusts everyone, so that each client could choose its address`},
		{"::/0", `"::/0" trusts everyone`},
		{"::ffff:0.0.0.0/96", `"::ffff:0.0.0.0/96" trusts everyone`},
	}
	for _, test := range tests {
		_, err := clientaddr.ParsePrefixes([]string{"::1", test.text})
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 1000 {
			t.Errorf("%.50q: %.300v, want %q", test.text, err, test.want)
		}
	}
}

// FuzzClient: the answer is the peer or stands in the header; an untrusted peer is
// the answer; and once an untrusted address is found, nothing on the left of it
// changes the answer.
func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.7, 10.0.0.2\n[2001:db8::7]:80", "198.51.100.66", false)
	f.Add("10.0.0.1:1", `for="[2001:db8::7%eth0]:_p";proto=http, for=10.0.0.2`, `for="`, true)
	f.Add("[::ffff:10.0.0.1]:1", "::ffff:198.51.100.7", "", false)
	f.Add("203.0.113.9:1", "198.51.100.7", "", false)
	f.Add("@", `for="1\0.0.0.1";x="\\", unknown, _x`, `\`, true)
	f.Fuzz(func(t *testing.T, remote, text, forged string, rfc7239 bool) {
		if len(text) > 1000 {
			return
		}
		header := clientaddr.XForwardedFor
		if rfc7239 {
			header = clientaddr.Forwarded
		}
		lines := strings.Split(text, "\n")
		p := clientaddr.Proxies{Trusted: trusted, Header: header}
		none := clientaddr.Proxies{Header: header}
		peer, got := none.Client(request(remote, header, lines...)), p.Client(request(remote, header, lines...))
		if got.Is4In6() || got.Zone() != "" {
			t.Errorf("%s is not in its plain form", got)
		}
		if got != peer && !(trusts(peer) && stands(text, got)) {
			t.Errorf("the client is %s, the peer %s", got, peer)
		}
		if trusts(got) || !got.IsValid() {
			return
		}
		joined := append([]string{forged + "," + lines[0]}, lines[1:]...)
		for _, forged := range [][]string{joined, append([]string{forged}, lines...)} {
			if with := p.Client(request(remote, header, forged...)); with != got {
				t.Errorf("the client is %s, and with more on the left %s", got, with)
			}
		}
	})
}

func trusts(a netip.Addr) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// stands reports whether an address is written somewhere in the text.
func stands(text string, a netip.Addr) bool {
	text = strings.ReplaceAll(text, `\`, "")
	for i := range len(text) {
		for j := i + 2; j <= min(len(text), i+45); j++ {
			if b, err := netip.ParseAddr(text[i:j]); err == nil && b.Unmap() == a {
				return true
			}
		}
	}
	return false
}

func BenchmarkClient(b *testing.B) {
	p := clientaddr.Proxies{Trusted: trusted, Header: clientaddr.Forwarded}
	r := request("10.0.0.1:1", clientaddr.Forwarded, `for="[2001:db8::7]:4711";proto=https, for=10.0.0.2`)
	b.ReportAllocs()
	for b.Loop() {
		p.Client(r)
	}
}
