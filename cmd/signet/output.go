package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes a result: value as JSON if that was asked for, and otherwise what
// table writes.
func (a *app) print(value any, table func(w io.Writer)) error {
	if a.output == "json" {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(value); err != nil {
			return err
		}
		_, err := a.out.Write(escapeJSON(text.Bytes()))
		return err
	}
	var text strings.Builder
	table(&text)
	_, err := io.WriteString(a.out, text.String())
	return err
}

// columns aligns rows under a heading.
func columns(w io.Writer, heading string, rows func(row func(cells ...any))) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.ReplaceAll(heading, " | ", "\t"))
	rows(func(cells ...any) {
		text := make([]string, len(cells))
		for i, c := range cells {
			text[i] = fmt.Sprint(c)
		}
		fmt.Fprintln(tab, strings.Join(text, "\t"))
	})
	tab.Flush()
}

// clock writes an instant in UTC, as people read it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// in writes an instant with its distance from now.
func in(t, now time.Time) string {
	left := t.Sub(now)
	if left < 0 {
		return fmt.Sprintf("%s (%s ago)", clock(t), span(-left))
	}
	return fmt.Sprintf("%s (in %s)", clock(t), span(left))
}

// span writes a duration in its two largest units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var parts []string
	for _, u := range units {
		if n := d / u.size; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
			d -= n * u.size
		} else if len(parts) > 0 {
			break
		}
	}
	if len(parts) == 0 {
		return "0s"
	}
	return strings.Join(parts, "")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
