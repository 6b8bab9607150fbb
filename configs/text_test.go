package configs

import (
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"0", 0, "0s"},
		{"5m", 5 * time.Minute, "5m"},
		{"90s", 90 * time.Second, "1m30s"},
		{"24h", day, "24h"},
		{"1d", day, "24h"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"48h", 2 * day, "2d"},
		{"30d", 30 * day, "30d"},
		{"2d1h30m", 2*day + 90*time.Minute, "2d1h30m"},
		{"10m10s", 610 * time.Second, "10m10s"},
		{"10h0m1s", 10*time.Hour + time.Second, "10h0m1s"},
		{"-5s", -5 * time.Second, "-5s"},
		{"106751d", 106751 * day, "106751d"},
	} {
		got, err := ParseDuration(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
		}
		if back := formatDuration(got); back != tt.back {
			t.Errorf("formatDuration(%v) = %q, want %q", got, back, tt.back)
		}
	}
	for _, text := range []string{
		"", "5", "d", "5 m", "1.5d", "-1d", "+1d", "1d-2h", "1d+2h", "1d2", "2h1d", "1d1d", "106752d", "106751d24h", "99999999999d",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestSizeText(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		back string
	}{
		{"0", 0, "0"},
		{"1000", 1000, "1000"},
		{"1024", 1024, "1KiB"},
		{"64KiB", 64 << 10, "64KiB"},
		{"19MiB", 19 << 20, "19MiB"},
		{"1536MiB", 1536 << 20, "1536MiB"},
		{"1GiB", 1 << 30, "1GiB"},
	} {
		got, err := parseSize(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
		}
		if back := formatSize(got); back != tt.back {
			t.Errorf("formatSize(%d) = %q, want %q", got, back, tt.back)
		}
	}
	for _, text := range []string{"", "MiB", "19 MiB", "19MB", "19M", "1.5MiB", "-1", "9999999999GiB", "0x10"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add(int64(36 * time.Hour))
	f.Add(int64(-1))
	f.Add(int64(1<<63 - 1))
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n)
		if back, err := ParseDuration(formatDuration(d)); err != nil || back != d {
			t.Errorf("%q reads as %d, %v; want %d", formatDuration(d), back, err, d)
		}
	})
}

func TestNearest(t *testing.T) {
	candidates := []string{"listen", "log", "log.level", "tokens.access"}
	for word, want := range map[string]string{
		"lisen": "listen", "lsiten": "listen", "Listen": "listen", "log.levle": "log.level",
		"x": "", "": "", "port": "", "keys": "",
	} {
		if got := nearest(word, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
