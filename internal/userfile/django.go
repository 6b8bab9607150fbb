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
	r.warnings, r.absent = x.warnings, x.absent(model)
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
		row, reason := Row{Line: line}, "it is no object with a model, as dumpdata writes"
		if ok {
			reason = x.parseAccount(&row, element)
		}
		if reason != "" {
			return Row{}, &RowError{Line: line, PK: row.PK, Name: row.Name, Reason: reason}
		}
		return row, nil
	}
}

// djangoFields are the fields of an account, undecoded.
type djangoFields map[string]json.RawMessage

// parseAccount reads an account into the row; a reason refuses it.
func (x *index) parseAccount(row *Row, element []byte) (reason string) {
	members, reason := object(element)
	if reason != "" {
		return reason
	}
	if reason = row.takePK(members["pk"]); reason != "" {
		return reason
	}
	var fields djangoFields
	if json.Unmarshal(members["fields"], &fields) != nil {
		return "its fields are not an object"
	}
	row.Absent |= fields.absent()
	a := &row.Account
	if reason = fields.texts(a); reason != "" {
		return reason
	}
	if reason = fields.truths(a); reason != "" {
		return reason
	}
	if reason = x.rights(a, fields); reason != "" {
		return reason
	}
	return needName(*a)
}

// takePK takes the primary key, which dumpdata --natural-primary leaves out.
func (r *Row) takePK(pk json.RawMessage) (reason string) {
	if pk == nil || string(pk) == "null" {
		r.Absent |= users.PartUserID
		return ""
	}
	id, ok := key(pk)
	if !ok {
		return "its pk is neither a number nor a string"
	}
	r.UserID, r.PK = id, shownKey(id)
	return ""
}

// shownKey is a primary key as it may be shown: a number or a UUID as it is.
func shownKey(id string) string {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
	if strings.Trim(id, plain) == "" && 0 < len(id) && len(id) <= users.MaxUserIDBytes {
		return id
	}
	return shown(id)
}

// absent are the parts of an account that its model does not have, and claims, which no
// model has. Permissions come from two fields.
func (f djangoFields) absent() users.Parts {
	absent := users.PartClaims
	for field, part := range map[string]users.Parts{
		"password": users.PartHash, "is_active": users.PartDisabled, "email": users.PartEmail,
		"first_name": users.PartGivenName, "last_name": users.PartFamilyName,
		"is_staff": users.PartStaff, "is_superuser": users.PartSuperuser, "groups": users.PartGroups,
	} {
		if f[field] == nil {
			absent |= part
		}
	}
	if f["groups"] == nil && f["user_permissions"] == nil {
		absent |= users.PartPermissions
	}
	return absent
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
