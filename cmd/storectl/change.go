package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
)

// change is a record as JSON.
type change struct {
	Epoch     string            `json:"epoch"`
	Seq       uint64            `json:"seq"`
	Time      time.Time         `json:"time"`
	ID        string            `json:"id"` // 32 hexadecimal digits
	RequestID string            `json:"requestId,omitempty"`
	Events    []json.RawMessage `json:"events"`
}

func changeOf(r atomicstore.Record) change {
	return change{r.Epoch, r.Seq, r.Time, hex.EncodeToString(r.ID[:]), r.RequestID, r.Events}
}

// printLine prints a change as one line of JSON.
func (ch change) printLine(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(ch)
}

// print prints a change for people, a line for each event.
func (ch change) print(c *console, w io.Writer) error {
	head := fmt.Sprintf("%6d  %s  ", ch.Seq, ch.Time.UTC().Format("2006-01-02 15:04:05.000Z"))
	for i, event := range ch.Events {
		if i > 0 {
			head = strings.Repeat(" ", len(head))
		}
		line := eventLine(event)
		if i == 0 && ch.RequestID != "" {
			line += "  request " + ch.RequestID
		}
		if _, err := fmt.Fprintln(w, c.paint(faint, head)+c.cut(printable(line), len(head))); err != nil {
			return err
		}
	}
	return nil
}

// eventLine shows an event: its kind, if it has one, and what is in it.
func eventLine(event json.RawMessage) string {
	var kinds map[string]json.RawMessage
	if json.Unmarshal(event, &kinds) == nil && len(kinds) == 1 {
		for kind, data := range kinds {
			return kind + " " + string(data)
		}
	}
	return string(event)
}
