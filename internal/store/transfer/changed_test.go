package transfer_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"signet/internal/store/boltstore"
	"signet/internal/store/transfer"
)

// meanwhile is a target whose source is changed once all was read.
type meanwhile struct {
	transfer.Target
	change func() error
}

func (m meanwhile) Put(ctx context.Context, page transfer.Page, at transfer.Place) error {
	if at.Kind == transfer.Rest {
		if err := m.change(); err != nil {
			return err
		}
	}
	return m.Target.Put(ctx, page, at)
}

// TestSourceThatChangesMeanwhile: what a command does behind the place of the copy, and
// that nobody saw connected, shows at the end.
func TestSourceThatChangesMeanwhile(t *testing.T) {
	defer transfer.SmallPages()()
	from, path := filled(t), filepath.Join(t.TempDir(), "signet.db")
	target := openTarget(t, path, false)
	_, err := transfer.Copy(t.Context(), from, meanwhile{target, func() error {
		u, err := from.UserByName(t.Context(), "user000")
		must(t, err)
		u.Disabled = true
		return from.UpdateUser(t.Context(), u)
	}}, silent)
	if !errors.Is(err, transfer.ErrDiffers) || !strings.Contains(err.Error(), "users: 30 with the digest") || !strings.Contains(err.Error(), "were found in the source afterwards") {
		t.Errorf("the source changed: %v", err)
	}
	must(t, target.Close())
	if _, err := boltstore.Open(path, boltstore.Options{}); !errors.As(err, new(*transfer.FillingError)) {
		t.Errorf("a copy that differs opens: %v", err)
	}
}
