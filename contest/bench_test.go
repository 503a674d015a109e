package contest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/contestkit/contestkit/contest"
)

func filled(b *testing.B, entries int) *contest.State {
	s := contest.NewState()
	for i := range entries {
		cmd := entry(contest.EntryID(fmt.Sprintf("e%06d", i)), []contest.CategoryID{"worst", "best"}[i%2])
		cmd.At = evening.Add(time.Duration(i) * time.Second)
		submit(b, s, cmd)
	}
	return s
}

// A change costs the same however many entries there are.
func BenchmarkSubmit(b *testing.B) {
	for _, entries := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			s := filled(b, entries)
			cmd := entry("new", "worst")
			cmd.At = evening.Add(time.Hour)
			b.ReportAllocs()
			for b.Loop() {
				next := s.Clone()
				events, err := next.Submit(cmd)
				if err == nil {
					err = contest.Apply(next, events[0])
				}
				if err != nil {
					b.Fatal(err)
				}
				contest.Public(s, events, next)
			}
		})
	}
}

func BenchmarkPublicFeed(b *testing.B) {
	s := filled(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		contest.PublicFeed(s)
	}
}
