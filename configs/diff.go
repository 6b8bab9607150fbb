package configs

// Change is a setting that differs, in the text of the file but for a password.
type Change struct {
	Key, Old, New string
}

// Diff compares a running configuration with one just loaded: reloadable are the
// changes that a running server can take, fixed those that need a restart.
func (c *Config) Diff(other *Config) (reloadable, fixed []Change) {
	for _, s := range table {
		if s.get(c) == s.get(other) {
			continue
		}
		change := Change{Key: s.key, Old: s.get(c), New: s.get(other)}
		if s.shown != nil {
			change.Old, change.New = s.shown(c), s.shown(other)
			if change.Old == change.New {
				change.New += " (with another password)"
			}
		}
		switch {
		case s.reload:
			reloadable = append(reloadable, change)
		default:
			fixed = append(fixed, change)
		}
	}
	return reloadable, fixed
}

// Reloaded returns the configuration of a running server after next was loaded:
// what it can take from next, and everything else as it is.
func (c *Config) Reloaded(next *Config) *Config {
	merged := *c
	for _, s := range table {
		if !s.reload {
			continue
		}
		if err := s.set(&merged, s.get(next)); err != nil {
			panic("configs: " + s.key + " does not read its own text: " + err.Error())
		}
	}
	return &merged
}
