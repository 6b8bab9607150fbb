package userfile

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"signet/users"
)

// index is what a first pass over a dump finds: what accounts refer to may come
// after them.
type index struct {
	groups      map[string]*djangoGroup // by primary key
	named       map[string]*djangoGroup
	permissions map[string]djangoPermission
	apps        map[string]string // by primary key of the content type
	models      map[string]int    // how many there are of each
	accounts    map[string]bool   // which models have a username and a password
	passwords   map[string]bool   // which have a password

	unexplained [2]map[string]bool // permissions and groups that the file does not have
}

type djangoGroup struct {
	name        string
	permissions json.RawMessage
	// resolved are the names of the permissions, once an account has asked for them.
	resolved []string
	reason   string
}

type djangoPermission struct {
	codename    string
	contentType json.RawMessage
}

const (
	missingPermission = iota
	missingGroup
)

// maxIndexed bounds the groups, permissions, content types and models of a file.
const maxIndexed = 100_000

func readIndex(file io.ReadSeeker) (*index, error) {
	d, err := openDump(file)
	if err != nil {
		return nil, err
	}
	x := &index{
		groups: map[string]*djangoGroup{}, named: map[string]*djangoGroup{}, permissions: map[string]djangoPermission{},
		apps: map[string]string{}, models: map[string]int{}, accounts: map[string]bool{}, passwords: map[string]bool{},
		unexplained: [2]map[string]bool{{}, {}},
	}
	for {
		element, line, err := d.next()
		if err == io.EOF {
			return x, nil
		}
		if err != nil {
			return nil, err
		}
		if e, ok := parseEntry(element); ok {
			if x.add(e) && !utf8.Valid(element) {
				return nil, &FileError{line, 1, "the names of groups and permissions must be UTF-8"}
			}
		}
		if len(x.named)+len(x.permissions)+len(x.apps)+len(x.models) > maxIndexed {
			return nil, &FileError{line, 1, fmt.Sprintf("the file has more than %d groups, permissions, content types and models", maxIndexed)}
		}
	}
}

// add reports whether the record is one that accounts refer to.
func (x *index) add(e entry) bool {
	x.models[strings.ToLower(e.Model)]++
	pk, _ := key(e.PK)
	switch strings.ToLower(e.Model) {
	case "auth.group":
		g := &djangoGroup{name: stringOf(e.Fields.Name), permissions: e.Fields.Permissions}
		x.groups[pk], x.named[g.name] = g, g
	case "auth.permission":
		x.permissions[pk] = djangoPermission{stringOf(e.Fields.Codename), e.Fields.ContentType}
	case "contenttypes.contenttype":
		x.apps[pk] = stringOf(e.Fields.AppLabel)
	default:
		if e.Fields.Password != nil {
			x.passwords[strings.ToLower(e.Model)] = true
		}
		if e.Fields.Username != nil && e.Fields.Password != nil {
			x.accounts[strings.ToLower(e.Model)] = true
		}
		return false
	}
	return true
}

// ModelError: no record of the file is of the model.
type ModelError struct {
	Model string
	// Accounts are models of the file that look like accounts, Others those that do not.
	Accounts, Others []string
}

func (e *ModelError) Error() string {
	switch {
	case len(e.Accounts) > 0:
		return fmt.Sprintf("the file has no %s; a username and a password have: %s", e.Model, strings.Join(e.Accounts, ", "))
	case len(e.Others) > 0:
		return fmt.Sprintf("the file has no %s and no other accounts; it has: %s", e.Model, strings.Join(e.Others, ", "))
	default:
		return fmt.Sprintf("the file has no %s and nothing else", e.Model)
	}
}

// check refuses a file without the model.
func (x *index) check(model string) error {
	if x.models[model] > 0 {
		return nil
	}
	missing := &ModelError{Model: model, Accounts: slices.Sorted(maps.Keys(x.accounts))}
	for _, name := range slices.Sorted(maps.Keys(x.models)) {
		if !x.accounts[name] {
			missing.Others = append(missing.Others, fmt.Sprintf("%.60s", name))
		}
	}
	missing.Others = missing.Others[:min(len(missing.Others), 20)]
	return missing
}

// absent are the parts that no account of the model tells, as far as that matters to more
// than one row.
func (x *index) absent(model string) users.Parts {
	if !x.passwords[model] {
		return users.PartClaims | users.PartHash
	}
	return users.PartClaims
}

// natural reads a natural key: a list of n strings.
func natural(ref json.RawMessage, n int) ([]string, bool) {
	var parts []string
	err := json.Unmarshal(ref, &parts)
	return parts, err == nil && len(parts) == n
}

// permission is what Django calls it in code, "app.codename". An empty name is one
// that the file does not explain; false refuses what is no reference.
func (x *index) permission(ref json.RawMessage) (name string, ok bool) {
	if parts, ok := natural(ref, 3); ok {
		return parts[1] + "." + parts[0], true
	}
	pk, ok := key(ref)
	if !ok {
		return "", false
	}
	p := x.permissions[pk]
	app := ""
	if parts, ok := natural(p.contentType, 2); ok {
		app = parts[0]
	} else if pk, ok := key(p.contentType); ok {
		app = x.apps[pk]
	}
	if p.codename == "" || app == "" {
		x.unexplained[missingPermission][pk] = true
		return "", true
	}
	return app + "." + p.codename, true
}

// group returns the group, with an empty name if the file does not explain it; false
// refuses what is no reference.
func (x *index) group(ref json.RawMessage) (g *djangoGroup, ok bool) {
	pk, known, name := "", x.groups, ""
	if parts, ok := natural(ref, 1); ok {
		pk, known, name = parts[0], x.named, parts[0]
	} else if pk, ok = key(ref); !ok {
		return nil, false
	}
	if g = known[pk]; g == nil {
		x.unexplained[missingGroup][pk] = true
		g = &djangoGroup{name: name}
	}
	return g, true
}

// resolve returns the names of a list of permissions, none twice; a reason refuses it.
func (x *index) resolve(list json.RawMessage) (names []string, reason string) {
	refs, ok := refsOf(list)
	seen := map[string]bool{"": true}
	for _, ref := range refs {
		name, known := x.permission(ref)
		if ok = ok && known; !seen[name] {
			names, seen[name] = append(names, name), true
		}
	}
	switch {
	case !ok:
		return nil, "are neither primary keys nor natural keys"
	case len(names) > users.MaxEntries:
		return nil, fmt.Sprintf("are more than %d", users.MaxEntries)
	}
	return names, ""
}

// permissionsOf are those of a group.
func (x *index) permissionsOf(g *djangoGroup) (names []string, reason string) {
	if g.resolved == nil && g.reason == "" {
		g.resolved, g.reason = x.resolve(g.permissions)
		g.permissions = nil
	}
	return g.resolved, g.reason
}

// refsOf is a list of references; none is an empty one.
func refsOf(list json.RawMessage) (refs []json.RawMessage, ok bool) {
	return refs, list == nil || json.Unmarshal(list, &refs) == nil
}

// warnings say what accounts were imported without.
func (x *index) warnings() (list []string) {
	const how = "; dump auth.group, auth.permission and contenttypes too, or dump with --natural-foreign"
	if n := len(x.unexplained[missingPermission]); n > 0 {
		list = append(list, count(n, "permission that the file does not explain was left out", "permissions that the file does not explain were left out")+how)
	}
	if n := len(x.unexplained[missingGroup]); n > 0 {
		list = append(list, count(n, "group that the file does not have was left out, or its permissions were",
			"groups that the file does not have were left out, or their permissions were")+how)
	}
	return list
}
