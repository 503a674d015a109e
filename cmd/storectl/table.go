package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// table prints rows of cells in columns; head may be nil. Colours must be in the
// last column alone, since they count as text.
func table(w io.Writer, head []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if head != nil {
		fmt.Fprintln(t, strings.Join(head, "\t"))
	}
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// printJSON prints a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// size shows bytes.
func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

// count shows how many there are of something.
func count[T int | int64 | uint64](n T, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "ch"):
		what += "es"
	default:
		what += "s"
	}
	return humanize.Comma(int64(n)) + " " + what
}

// stamp shows a moment in UTC, as the names of backups do.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
