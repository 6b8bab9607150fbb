package main

import (
	"fmt"
	"strconv"
	"strings"
)

// markdown is the table as it stands in docs/performance.md.
func markdown(rows []row) string {
	var text strings.Builder
	text.WriteString("| work | figure | limit | ratio | target | met |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&text, "| %s | %s %s | %s: %s | %s | %s %s | %s |\n", r.Work, r.Figure, r.Unit, r.LimitIs, r.Limit, r.Ratio,
			r.Rule, strconv.FormatFloat(float64(r.Target), 'f', -1, 64), yes(r))
	}
	return text.String()
}
