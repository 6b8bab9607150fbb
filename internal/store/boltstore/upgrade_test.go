package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"signet/internal/store/record"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

// oldHashes are those of the users of a database of schema 1, which had argon2id alone.
var oldHashes = []string{
	"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
	"$argon2id$v=19$m=19456,t=2,p=1$b3RoZXJzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
	"$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
	"",
}

// oldUser is user i of a database of schema 1.
func oldUser(i int) users.User {
	return users.User{
		ID: fmt.Sprintf("ID%024d", i), Name: fmt.Sprintf("user-%04d", i), Hash: oldHashes[i%len(oldHashes)],
		Disabled: i%5 == 0, Created: testNow, PasswordChanged: testNow.Add(time.Hour), Version: uint64(i + 1), Epoch: uint64(i % 3),
	}
}

// oldRecord is a user as schema 1 wrote it.
func oldRecord(t *testing.T, u users.User) string {
	t.Helper()
	fields := map[int]any{1: u.Name, 2: u.Hash, 4: u.Created.UnixMilli(), 5: u.PasswordChanged.UnixMilli(), 6: u.Version}
	if u.Disabled {
		fields[3] = true
	}
	if u.Epoch > 0 {
		fields[7] = u.Epoch
	}
	b, err := cbor.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// oldSession is a session as schemas 1 and 2 wrote it.
func oldSession(t failer, s issuer.Session) string {
	t.Helper()
	fields := map[int]any{
		1: record.PackID(s.Subject), 3: s.Created.UnixMilli(), 4: s.Rotated.UnixMilli(), 5: s.Expires.UnixMilli(), 6: s.Ends.UnixMilli(),
		8: record.PackID(s.Current), 10: s.KID,
	}
	if s.Client != "" {
		fields[2] = s.Client
	}
	if s.Generation > 0 {
		fields[7], fields[9] = s.Generation, record.PackID(s.Previous)
	}
	if s.Epoch > 0 {
		fields[11] = s.Epoch
	}
	b, err := cbor.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// oldBuckets are a database of schema 1 with n users.
func oldBuckets(t *testing.T, n int) map[string]map[string]string {
	t.Helper()
	client, err := record.EncodeClient(testClient)
	if err != nil {
		t.Fatal(err)
	}
	byName, byID := map[string]string{}, map[string]string{}
	for i := range n {
		u := oldUser(i)
		byName[u.Name], byID[u.ID] = u.ID, oldRecord(t, u)
	}
	return map[string]map[string]string{
		"meta":       {"application": "signet", "schema": "\x00\x00\x00\x01", "probe": "\x01"},
		"keys":       {"ring": `{"version":7}`},
		"users":      byID,
		"names":      byName,
		"sessions":   {testSession(1).ID: oldSession(t, testSession(1))},
		"by-subject": {string(subjectKey(testSession(1).Subject, testSession(1).ID)): ""},
		"clients":    {testClient.ID: string(client)},
		"assertions": {},
	}
}

// schemaOf reads the file as bbolt does, without a Store.
func schemaOf(t *testing.T, path string) (schema uint32, names []string) {
	t.Helper()
	db := openRaw(t, path, func(o *bbolt.Options) { o.ReadOnly = true })
	err := db.View(func(tx *bbolt.Tx) error {
		schema = binary.BigEndian.Uint32(tx.Bucket([]byte("meta")).Get([]byte("schema")))
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return schema, names
}

// wantUpgraded opens a database that had oldBuckets, and looks for all of them.
func wantUpgraded(t *testing.T, path string, n int, log *slog.Logger) *Store {
	t.Helper()
	s, err := Open(path, Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkClosed(t, s) })
	var want []users.User
	kinds := map[string]int{}
	for i := range n {
		want = append(want, oldUser(i))
		kinds[users.HashKind(oldUser(i).Hash)]++
	}
	got, err1 := s.Users(t.Context(), "", n+1)
	counts, err2 := s.HashKinds(t.Context())
	sessions, err3 := s.ListSessions(t.Context(), "", "", 10)
	client, err4 := s.Client(t.Context(), testClient.ID)
	ring, err5 := s.LoadRing(t.Context())
	if err := errors.Join(err1, err2, err3, err4, err5, s.Check()); err != nil {
		t.Fatal(err)
	}
	for what, diff := range map[string]string{
		"users": cmp.Diff(want, got), "kinds": cmp.Diff(kinds, counts), "client": cmp.Diff(testClient, client),
		"sessions": cmp.Diff([]issuer.Session{testSession(1)}, sessions), "ring": cmp.Diff(uint64(7), uint64(ring.Version)),
	} {
		if diff != "" {
			t.Errorf("%s after the upgrade (-want +got):\n%s", what, diff)
		}
	}
	return s
}

func TestUpgradeOfSchema1(t *testing.T) {
	const n = 300
	path := newPath(t)
	rawBuckets(t, path, oldBuckets(t, n))
	if found, names := schemaOf(t, path); found != 1 || len(names) != 8 {
		t.Fatalf("the file to upgrade has schema %d and %q", found, names)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s := wantUpgraded(t, path, n, logger)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found, names := schemaOf(t, path); found != schema || len(names) != 10 {
		t.Errorf("the upgraded file has schema %d and %q", found, names)
	}
	wantUpgraded(t, path, n, logger)
	if said := log.String(); strings.Count(said, "an older signet no longer opens it") != 1 || !strings.Contains(said, "from=1 to=3") {
		t.Errorf("two starts log %q, want one upgrade", said)
	}
}

// What the upgrade made is in use from then on.
func TestUpgradedDatabaseIsAtWork(t *testing.T) {
	path := newPath(t)
	rawBuckets(t, path, oldBuckets(t, 8))
	s := wantUpgraded(t, path, 8, nil)
	u := oldUser(2)
	u.Hash, u.UserID = oldHashes[0], "42"
	if err := errors.Join(s.UpdateUser(t.Context(), u), s.RemoveUser(t.Context(), oldUser(3).ID),
		s.UseAssertion(t.Context(), "billing", "one", testNow)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.UserByUserID(t.Context(), "42"); err != nil || got.ID != u.ID {
		t.Errorf("by user_id: %s, error %v", got.ID, err)
	}
	other := oldUser(4)
	other.UserID = "42"
	if err := s.UpdateUser(t.Context(), other); !errors.Is(err, users.ErrUserID) {
		t.Errorf("a second account with the user_id: %v, want %v", err, users.ErrUserID)
	}
	want := map[string]int{users.HashKind(oldHashes[0]): 5, users.HashKind(oldHashes[2]): 1, "": 1}
	if got, err := s.HashKinds(t.Context()); err != nil || !cmp.Equal(got, want) {
		t.Errorf("kinds %v, error %v, want %v", got, err, want)
	}
	if err := s.UseAssertion(t.Context(), "billing", "one", testNow); !errors.Is(err, oauth.ErrReplayed) {
		t.Errorf("a used assertion: %v, want %v", err, oauth.ErrReplayed)
	}
}

func TestUpgradeWithoutUsers(t *testing.T) {
	path := newPath(t)
	rawBuckets(t, path, oldBuckets(t, 0))
	wantUpgraded(t, path, 0, nil)
}

// The upgrade is one transaction: a crash after any of its writes but the last, that of
// the meta page, leaves the database of schema 1, and the next start upgrades it.
func TestCrashDuringTheUpgrade(t *testing.T) {
	const n, page = 200, 4096
	path := newPath(t)
	rawBuckets(t, path, oldBuckets(t, n), func(o *bbolt.Options) { o.PageSize = page })
	before, err1 := os.ReadFile(path)
	if err := wantUpgraded(t, path, n, nil).Close(); err != nil {
		t.Fatal(err)
	}
	after, err2 := os.ReadFile(path)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	changed := changedPages(before, after, page)
	if len(changed) < 2 || len(changed) > 6 {
		t.Fatalf("the upgrade changed the pages %v: not so few that all subsets can be tried", changed)
	}
	for subset := range 1 << len(changed) { // a disk writes in any order
		written := map[int]bool{}
		for i, p := range changed {
			written[p] = subset>>i&1 == 1
		}
		crashed := newPath(t)
		write(t, crashed, crashImage(before, after, page, written))
		if found, names := schemaOf(t, crashed); found != 1 || len(names) != 8 {
			t.Errorf("with the pages %v written: schema %d, buckets %q", written, found, names)
		}
		wantUpgraded(t, crashed, n, nil)
	}
	// The new meta page, torn, is not valid.
	torn := bytes.Clone(after)
	copy(torn, before[:2*page])
	meta := (newestMetaPage(t, before) ^ 1) * page
	copy(torn[meta:meta+pageHeader+metaSize/2], after[meta:])
	crashed := newPath(t)
	write(t, crashed, torn)
	if found, _ := schemaOf(t, crashed); found != 1 {
		t.Errorf("with a torn meta page: schema %d", found)
	}
	wantUpgraded(t, crashed, n, nil)
}

// changedPages are those behind the two meta pages.
func changedPages(before, after []byte, page int) (changed []int) {
	for p := 2; p < len(after)/page; p++ {
		if (p+1)*page > len(before) || !bytes.Equal(before[p*page:(p+1)*page], after[p*page:(p+1)*page]) {
			changed = append(changed, p)
		}
	}
	return changed
}

// crashImage is before with some pages of after, but its own meta pages.
func crashImage(before, after []byte, page int, written map[int]bool) []byte {
	image := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
	for p, ok := range written {
		if ok {
			copy(image[p*page:(p+1)*page], after[p*page:])
		}
	}
	return image
}

// newestMetaPage is 0 or 1.
func newestMetaPage(t *testing.T, image []byte) int {
	t.Helper()
	m0, ok0, err0 := readMeta(bytes.NewReader(image), 0)
	m1, ok1, err1 := readMeta(bytes.NewReader(image), 4096)
	if err := errors.Join(err0, err1); err != nil || !ok0 || !ok1 {
		t.Fatalf("no meta pages: %v", err)
	}
	if m1.txid > m0.txid {
		return 1
	}
	return 0
}

// A record that cannot be read is no reason to count wrongly: nothing is changed.
func TestUnreadableUserStopsTheUpgrade(t *testing.T) {
	path := newPath(t)
	contents := oldBuckets(t, 20)
	contents["users"][oldUser(7).ID] = "\xff\xff"
	rawBuckets(t, path, contents)
	err := refused(t, path)
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
	wantText(t, err, path, "a record cannot be read", "restore a backup")
	if found, names := schemaOf(t, path); found != 1 || len(names) != 8 {
		t.Errorf("schema %d, buckets %q", found, names)
	}
}

// A bucket that the schema of a file has is not made anew when it is lost.
func TestLostBucketOfEitherSchema(t *testing.T) {
	lost := func(schema string, made, without []string) {
		t.Helper()
		path, contents := newPath(t), oldBuckets(t, 3)
		contents["meta"]["schema"] = schema
		for _, name := range made {
			contents[name] = nil
		}
		for _, name := range without {
			delete(contents, name)
		}
		rawBuckets(t, path, contents)
		err := refused(t, path)
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("schema %q without %q: got %v, want %v", schema, without, err, ErrDamaged)
		}
		wantText(t, err, path, "no bucket ", "restore a backup")
	}
	lost("\x00\x00\x00\x02", nil, nil)
	lost("\x00\x00\x00\x02", []string{"user-ids"}, nil)
	lost("\x00\x00\x00\x02", []string{"hashes"}, nil)
	for _, name := range []string{"keys", "users", "names", "sessions", "by-subject", "clients", "assertions"} {
		lost("\x00\x00\x00\x01", nil, []string{name})
		lost("\x00\x00\x00\x02", []string{"user-ids", "hashes"}, []string{name})
		lost("\x00\x00\x00\x03", []string{"user-ids", "hashes"}, []string{name})
	}
}

func TestNoSchema0(t *testing.T) {
	path, contents := newPath(t), oldBuckets(t, 3)
	contents["meta"]["schema"] = "\x00\x00\x00\x00"
	rawBuckets(t, path, contents)
	err := refused(t, path)
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
	wantText(t, err, "no schema version")
}
