//go:build !linux

package boltstore

import "testing"

func becomeNobody(t *testing.T, _ string) {
	t.Skip("SKIPPED: root may open everything; run the tests as another user")
}
