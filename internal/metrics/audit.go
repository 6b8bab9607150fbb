package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"signet/internal/audit"
)

// Audit is the audit log: audit.Log.
type Audit interface {
	Stats() audit.Stats
}

var (
	auditRecords    = described("signet_audit_records_total", "Records in the audit log, of this process and those before.")
	auditFailures   = described("signet_audit_failures_total", "Writes of the audit log that failed.")
	auditUnrecorded = described("signet_audit_unrecorded_total", "Events that were too many to be written to the audit log one by one.")
	auditFailing    = described("signet_audit_failing", "1 while the audit log cannot be written and logins are refused for it, otherwise 0.")
	auditSuspect    = described("signet_audit_suspect", "1 since the audit log was found to be cut or changed by somebody else, until a new file begins or the process ends; otherwise 0.")
)

// records tells how the audit log is.
type records struct{ audit Audit }

// Describe implements prometheus.Collector.
func (records) Describe(ch chan<- *prometheus.Desc) {
	ch <- auditRecords
	ch <- auditFailures
	ch <- auditUnrecorded
	ch <- auditFailing
	ch <- auditSuspect
}

// Collect implements prometheus.Collector.
func (r records) Collect(ch chan<- prometheus.Metric) {
	now := r.audit.Stats()
	ch <- total(auditRecords, now.Records)
	ch <- total(auditFailures, now.Failures)
	ch <- total(auditUnrecorded, now.Unrecorded)
	ch <- reading(auditFailing, oneIf(now.Failing))
	ch <- reading(auditSuspect, oneIf(now.Suspect))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
