package configs

import (
	"strings"
	"testing"
	"time"
)

func TestPublishAheadOfReplicas(t *testing.T) {
	for _, tt := range []struct {
		store string
		ahead time.Duration
		want  string
	}{
		{"bolt", 5 * time.Minute, ""},
		{"postgres://db/signet", 5*time.Minute + 5*time.Second, ""},
		{"postgres://db/signet", 5*time.Minute + 4*time.Second, "5m4s is shorter than keys.jwks_max_age, 5m, and the 5s within which all replicas publish a key: it would sign before every cache has it; make it at least 5m5s"},
		{"postgresql://db/signet", 5 * time.Minute, "5m is shorter than keys.jwks_max_age, 5m, and the 5s"},
		{"postgres://db/signet", 4 * time.Minute, "4m is shorter than keys.jwks_max_age, 5m: a key"},
	} {
		c := Default()
		c.Store, c.Keys.PublishAhead = tt.store, tt.ahead
		var got []string
		for _, f := range c.Check() {
			if f.Key == "keys.publish_ahead" {
				got = append(got, f.Problem)
			}
		}
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
			t.Errorf("%s, %v: %q, want %q", tt.store, tt.ahead, got, tt.want)
		}
	}
}

func TestReuseWindowOverPostgreSQL(t *testing.T) {
	for _, tt := range []struct {
		store  string
		rotate bool
		window time.Duration
		want   string
	}{
		{"bolt", true, 0, ""},
		{"postgres://db/signet", true, 10 * time.Second, ""},
		{"postgres://db/signet", true, 9 * time.Second, "refresh.reuse_window: with 9s, a refresh that PostgreSQL is slow to make, up to 5s, and that is tried again ends the session; 10s or more does not"},
		{"postgresql://db/signet", true, 0, "refresh.reuse_window: with 0s, "},
		{"postgres://db/signet", false, 0, "refresh.rotate: "},
	} {
		c := Default()
		c.Store, c.Refresh.Rotate, c.Refresh.ReuseWindow = tt.store, tt.rotate, tt.window
		got := c.Warnings()
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
			t.Errorf("%s, rotate %v, %v: %q, want %q", tt.store, tt.rotate, tt.window, got, tt.want)
		}
	}
}

func TestLeewayOfReplicas(t *testing.T) {
	for _, tt := range []struct {
		store  string
		leeway time.Duration
		want   string
	}{
		{"bolt", 0, ""},
		{"postgres://db/signet", 5 * time.Second, ""},
		{"postgres://db/signet", 4 * time.Second, "4s is too short for replicas, whose clocks may be 2s apart: one would refuse what another has just issued; make it at least 5s"},
		{"postgresql://db/signet", 0, "0s is too short for replicas"},
		{"postgres://db/signet", -time.Second, "-1s is outside its limits"},
	} {
		c := Default()
		c.Store, c.Tokens.Leeway = tt.store, tt.leeway
		var got []string
		for _, f := range c.Check() {
			if f.Key == "tokens.leeway" {
				got = append(got, f.Problem)
			}
		}
		if tt.want == "" && len(got) != 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
			t.Errorf("%s, %v: %q, want %q", tt.store, tt.leeway, got, tt.want)
		}
	}
}
