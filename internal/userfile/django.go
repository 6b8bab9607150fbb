package userfile

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"signet/users"
)

// openDjango reads the file twice: the groups and permissions first. JSON that breaks
// off is found before any account is given away.
func (r *Reader) openDjango(file io.ReadSeeker, model string) error {
	model = strings.ToLower(model)
	x, err := readIndex(file)
	if err != nil {
		return err
	}
	if err := x.check(model); err != nil {
		return err
	}
	d, err := openDump(file)
	if err != nil {
		return err
	}
	r.warnings = x.warnings
	r.next = func() (Row, error) { return x.nextAccount(d, model) }
	return nil
}

// nextAccount passes over the records of other models.
func (x *index) nextAccount(d *dump, model string) (Row, error) {
	for {
		element, line, err := d.next()
		if err != nil {
			return Row{}, err
		}
		e, ok := parseEntry(element)
		if ok && strings.ToLower(e.Model) != model {
			continue
		}
		account, reason := Account{}, "it is no object with a model, as dumpdata writes"
		if ok {
			account, reason = x.parseAccount(element)
		}
		if reason != "" {
			return Row{}, &RowError{Line: line, Name: account.Name, Reason: reason}
		}
		return Row{line, account}, nil
	}
}

// djangoFields are the fields of an account, undecoded.
type djangoFields map[string]json.RawMessage

// parseAccount reads an account; a reason refuses it.
func (x *index) parseAccount(element []byte) (a Account, reason string) {
	members, reason := object(element)
	if reason != "" {
		return a, reason
	}
	var fields djangoFields
	if json.Unmarshal(members["fields"], &fields) != nil {
		return a, "its fields are not an object"
	}
	if pk, ok := members["pk"]; ok && string(pk) != "null" {
		if a.UserID, ok = key(pk); !ok {
			return a, "its pk is neither a number nor a string"
		}
	}
	if reason = fields.texts(&a); reason != "" {
		return a, reason
	}
	if reason = fields.truths(&a); reason != "" {
		return a, reason
	}
	if reason = x.rights(&a, fields); reason != "" {
		return a, reason
	}
	return a, needName(a)
}

// texts reads the fields that are strings. One that is not there, or null, is empty.
func (f djangoFields) texts(a *Account) (reason string) {
	var joined string
	for _, field := range []struct {
		name string
		to   *string
	}{
		{"username", &a.Name}, {"password", &a.Hash}, {"email", &a.Profile.Email},
		{"first_name", &a.Profile.GivenName}, {"last_name", &a.Profile.FamilyName}, {"date_joined", &joined},
	} {
		if raw := f[field.name]; raw != nil && json.Unmarshal(raw, field.to) != nil {
			return fmt.Sprintf("its %s is not a string", field.name)
		}
	}
	if created, ok := parseTime(joined); ok {
		a.Created = created
		return ""
	}
	return "its date_joined is not a time of ISO 8601"
}

// truths reads the fields that are true or false. A model without is_active has
// accounts that are active, as django.contrib.auth.models.AbstractBaseUser has it.
func (f djangoFields) truths(a *Account) (reason string) {
	active := true
	for _, field := range []struct {
		name string
		to   *bool
	}{{"is_active", &active}, {"is_staff", &a.Profile.Staff}, {"is_superuser", &a.Profile.Superuser}} {
		if raw := f[field.name]; raw != nil && (string(raw) == "null" || json.Unmarshal(raw, field.to) != nil) {
			return fmt.Sprintf("its %s is neither true nor false", field.name)
		}
	}
	a.Disabled = !active
	return ""
}

// rights gives the account its groups, its permissions and those of its groups, as
// get_all_permissions does.
func (x *index) rights(a *Account, f djangoFields) (reason string) {
	own, reason := x.resolve(f["user_permissions"])
	if reason != "" {
		return "its user_permissions " + reason
	}
	groups, ok := refsOf(f["groups"])
	if !ok || len(groups) > users.MaxEntries {
		return fmt.Sprintf("its groups are no list of at most %d", users.MaxEntries)
	}
	all := map[string]bool{}
	addAll(all, own)
	for _, ref := range groups {
		g, ok := x.group(ref)
		if !ok {
			return "its groups are neither primary keys nor natural keys"
		}
		if g.name != "" {
			a.Profile.Groups = append(a.Profile.Groups, g.name)
		}
		names, reason := x.permissionsOf(g)
		if reason != "" {
			return fmt.Sprintf("the permissions of its group %.100q %s", g.name, reason)
		}
		addAll(all, names)
	}
	a.Profile.Permissions = slices.Sorted(maps.Keys(all))
	return ""
}

func addAll(to map[string]bool, names []string) {
	for _, name := range names {
		to[name] = true
	}
}
