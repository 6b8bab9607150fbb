package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

// number is a measured value; NaN, for what was not measured, is null in JSON.
type number float64

// MarshalJSON writes four digits: the rest is noise.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(float64(n), 'g', 4, 64), 64)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rounded)
}

func (n number) String() string {
	v := float64(n)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// row is a line of the table.
type row struct {
	Work   string `json:"work"`
	Figure number `json:"figure"`
	Unit   string `json:"unit"`
	Limit  number `json:"limit"`
	Ratio  number `json:"ratio"`
	Target number `json:"target"`
	Met    bool   `json:"met"`
	// Rule says what the target is for, LimitIs what the limit is.
	Rule    rule   `json:"rule"`
	LimitIs string `json:"limit_is"`
	// LoadCPU is the share of all cores that the load generator took.
	LoadCPU number `json:"load_cpu"`
	Note    string `json:"note,omitempty"`
}

// result is what a section found for a work.
type result struct {
	figure, limit float64
	loadCPU       float64 // NaN where no load generator ran
	note          string
}

var unknown = math.NaN()

func (w work) row(r result) row {
	return row{
		Work: w.name, Figure: number(r.figure), Unit: w.unit, Limit: number(r.limit), Ratio: number(r.figure / r.limit),
		Target: number(w.target), Met: w.rule.met(r.figure, r.limit, w.target),
		Rule: w.rule, LimitIs: w.limit, LoadCPU: number(r.loadCPU), Note: r.note,
	}
}

// table has the notes below it: they are as long as they need to be.
func table(rows []row) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORK\tFIGURE\tLIMIT\tRATIO\tTARGET\tMET\tLOAD CPU\tLIMIT IS")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s %s\t%s\t%s\t%s\n",
			r.Work, r.Figure, r.Unit, r.Limit, r.Ratio, r.Rule, strconv.FormatFloat(float64(r.Target), 'f', -1, 64), yes(r), share(r.LoadCPU), r.LimitIs)
	}
	w.Flush()
	for _, r := range rows {
		if r.Note != "" {
			fmt.Fprintf(&text, "%s: %s\n", r.Work, r.Note)
		}
	}
	return text.String()
}

func yes(r row) string {
	switch {
	case math.IsNaN(float64(r.Figure)):
		return "-"
	case r.Met:
		return "yes"
	}
	return "no"
}

func share(n number) string {
	if math.IsNaN(float64(n)) {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(n))
}

func writeJSON(path string, rows []row) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// rows are those of the sections, in their order. One that was not measured says why.
func (l *lab) rows(of []section) []row {
	var rows []row
	for _, s := range of {
		for _, w := range s.works {
			r, ok := l.results[w.name]
			if !ok {
				r = result{unknown, unknown, unknown, "not measured: " + cmp.Or(l.failed[s.name], "the section did not run")}
			}
			rows = append(rows, w.row(r))
		}
	}
	return rows
}
