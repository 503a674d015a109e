package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/contestkit/contestkit/atomicstore"
)

// verdict says what findings mean for the next start, the worst one first. It
// is nil when there are none.
func (s *store) verdict(ctx context.Context, findings []atomicstore.Finding, present atomicstore.SnapshotReport) error {
	if len(findings) == 0 {
		return nil
	}
	lines := []string{s.headline(findings)}
	for _, f := range findings {
		line := fmt.Sprintf("  %s: %s", s.short(f.Path), f.Error)
		if s.isSegment(f.Path) && isFile(f.Path) {
			line = fmt.Sprintf("  %s is damaged at byte %d, change %d: %s", s.short(f.Path), f.Offset, f.Seq, f.Error)
		}
		if f.How != "" {
			line += "; " + f.How
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(append(lines, s.remedies(ctx, findings, present)...), "\n"))
}

func (s *store) headline(findings []atomicstore.Finding) string {
	worst := map[atomicstore.Next]*atomicstore.Finding{}
	for i, f := range findings {
		if worst[f.Next] == nil {
			worst[f.Next] = &findings[i]
		}
	}
	switch taken := worst[atomicstore.NextTakesOver]; {
	case worst[atomicstore.NextRefuses] != nil:
		return "Damaged: the program will not start like this."
	case worst[atomicstore.NextGoesOn] != nil:
		return "Damaged: the next start goes on with what is left."
	case taken != nil && taken.Path == s.snapshot():
		return "data.json was edited by hand, or is damaged; the next start takes it over."
	case taken != nil:
		return "Damaged: the next start takes over the data.json that is there now."
	case worst[atomicstore.NextRepairs] != nil:
		return "Damaged, but nothing is lost: the next start repairs it."
	case worst[atomicstore.NextIgnores] != nil:
		return "Damaged, but not the present state: the program starts as ever."
	default:
		return "Not everything could be read."
	}
}

// remedies says what to do.
func (s *store) remedies(ctx context.Context, findings []atomicstore.Finding, present atomicstore.SnapshotReport) (lines []string) {
	told := map[atomicstore.Next]bool{}
	for _, f := range findings {
		if told[f.Next] {
			continue
		}
		told[f.Next] = true
		switch f.Next {
		case atomicstore.NextRefuses:
			whole := present.Whose == "store" && present.Error == ""
			switch {
			case f.Path == s.walDir() && whole, s.isSegment(f.Path) && whole && present.Seq >= f.Seq:
				lines = append(lines, fmt.Sprintf("storectl restore %s data.json goes on from data.json, after change %d, without the log", s.dir, present.Seq))
			case s.isSegment(f.Path):
				if p, err := atomicstore.PlanRestoreBefore(ctx, s.dir, f.Seq, s.options()); err == nil {
					lines = append(lines, fmt.Sprintf("storectl restore %s --before %d goes back to change %d, the last before the damage", s.dir, f.Seq, p.Seq))
				}
			}
			lines = append(lines, s.listing())
		case atomicstore.NextUnknown:
			lines = append(lines, "run storectl as the user that the program runs as")
		}
	}
	return lines
}

// listing says where to find what can be restored.
func (s *store) listing() string {
	if s.backups == "" {
		return "no folder of backups was found; if the program keeps one, name it with --backups"
	}
	return fmt.Sprintf("storectl backups %s lists what can be restored", s.dir)
}

// short is the path of a file without the folder that everything is in.
func (s *store) short(path string) string {
	if rest, err := filepath.Rel(s.dir, path); err == nil && filepath.IsLocal(rest) {
		return rest
	}
	return path
}

func (s *store) isSegment(path string) bool { return filepath.Dir(path) == s.walDir() }

// withoutLog says what it means that there is no segment.
func (s *store) withoutLog(findings []atomicstore.Finding) string {
	if slices.ContainsFunc(findings, func(f atomicstore.Finding) bool { return f.Path == s.walDir() }) {
		return "there is none"
	}
	return "there is none; the next start begins one"
}
