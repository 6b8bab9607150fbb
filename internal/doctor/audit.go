package doctor

import "path/filepath"

// Audit is the audit log, as the server has it.
type Audit struct {
	Path string
	// Failing is why it cannot be written; empty if it can.
	Failing string
	// Suspicion is what the server found of a file that somebody else has cut or changed.
	Suspicion string
	// Records is how many there are.
	Records uint64
}

// Checks looks whether logins can be recorded: those that cannot are refused.
func (a Audit) Checks() []Check {
	r := &report{name: "audit log"}
	const advice = "make room on its disk, or see to its directory: while it cannot be written, logins are refused"
	if a.Failing != "" {
		r.fail(advice, "%s", a.Failing)
	}
	if a.Suspicion != "" {
		r.fail("keep the file: signet audit verify says where; compare it with a copy from elsewhere, move it away and send SIGHUP for a new one", "%s", a.Suspicion)
	}
	if left, err := roomAt(filepath.Dir(a.Path)); err == nil && left.free < leastFree {
		r.fail(advice, "%s free at %s", sizeText(left.free), filepath.Dir(a.Path))
	}
	return r.orOK("%d records; signet audit verify reads them", a.Records)
}
