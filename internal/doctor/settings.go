package doctor

// Settings reports the warnings on a configuration.
func Settings(warnings []string) []Check {
	r := &report{name: "settings"}
	for _, w := range warnings {
		r.warn("change the setting, unless it is meant so", "%s", w)
	}
	return r.orOK("no warnings")
}
