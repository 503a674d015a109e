package reliablews

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, test := range []struct {
		options HubOptions
		want    string // in what NewHub says, "" for nothing
	}{
		{HubOptions{}, ""},
		{HubOptions{MaxFrameRate: -1}, ""},
		{HubOptions{HeartbeatInterval: 100 * time.Millisecond, HeartbeatTimeout: 300 * time.Millisecond}, ""},
		{HubOptions{MaxConnections: 1_000_000}, ""},
		{HubOptions{GoodbyeSpread: -1}, "GoodbyeSpread"},
		{HubOptions{HeartbeatInterval: -1}, "HeartbeatInterval is below zero"},
		{HubOptions{HeartbeatTimeout: -time.Second}, "HeartbeatTimeout"},
		{HubOptions{HelloTimeout: -1}, "HelloTimeout"},
		{HubOptions{AheadTimeout: -1}, "AheadTimeout"},
		{HubOptions{PollTimeout: -1}, "PollTimeout"},
		{HubOptions{MaxPollBytes: -1}, "MaxPollBytes"},
		{HubOptions{MaxConnections: -1}, "MaxConnections"},
		{HubOptions{MaxPerAddress: -1}, "MaxPerAddress"},
		{HubOptions{MaxFrameBytes: -1}, "MaxFrameBytes"},
		{HubOptions{MaxFrameBurst: -1}, "MaxFrameBurst"},
		{HubOptions{MaxMessageBytes: -1}, "MaxMessageBytes"},
		{HubOptions{HistoryBytes: -1}, "HistoryBytes"},
		{HubOptions{SessionLifetime: -1}, "SessionLifetime"},
		{HubOptions{MaxSessions: -1}, "MaxSessions"},
		{HubOptions{MaxInbox: -1}, "MaxInbox"},
		{HubOptions{MaxInboxBytes: -1}, "MaxInboxBytes"},
		{HubOptions{InboxBytes: -1}, "InboxBytes"},
		{HubOptions{Window: -1}, "Window"},
		{HubOptions{PresenceGrace: -1}, "PresenceGrace"},
		{HubOptions{BatchDelay: -1}, "BatchDelay"},
		{HubOptions{BackoffStart: -1}, "BackoffStart"},
		{HubOptions{BackoffMax: -1}, "BackoffMax"},
		{HubOptions{HeartbeatInterval: time.Microsecond}, "1 ms"},
		{HubOptions{HeartbeatInterval: time.Minute}, "longer than HeartbeatInterval"},
		{HubOptions{PollTimeout: time.Minute}, "less than HeartbeatTimeout"},
		{HubOptions{BackoffStart: time.Hour}, "BackoffMax"},
		{HubOptions{BackoffFactor: 0.5}, "BackoffFactor"},
		{HubOptions{BackoffFactor: math.Inf(1)}, "BackoffFactor"},
		{HubOptions{BackoffFactor: math.NaN()}, "BackoffFactor"},
	} {
		got := ""
		func() {
			defer func() {
				if err, ok := recover().(error); ok {
					got = err.Error()
				}
			}()
			h := NewHub(&test.options)
			if err := h.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%+v: got %q, want %q", test.options, got, test.want)
		}
	}
}
