package atomicstore

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/contestkit/contestkit/atomicstore/internal/vfs"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/btree"
)

// The benchmarks of this file measure one promise each, with their own clock
// and in turn with what they are compared to: run them with -benchtime 1x, as
// make bench-store does.

// gallery is a state like a contest's: entries by key, copied in no time.
type gallery struct{ entries btree.Map[int, *picture] }

type picture struct {
	Key  int    `json:"key"`
	Text string `json:"text"`
}

func (g *gallery) Clone() *gallery { return &gallery{*g.entries.Copy()} }

// MarshalJSONTo writes one picture after the other: a checkpoint never holds
// them all as JSON.
func (g *gallery) MarshalJSONTo(to *jsontext.Encoder) error {
	if err := to.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, p := range g.entries.Scan {
		if err := json.MarshalEncode(to, p); err != nil {
			return err
		}
	}
	return to.WriteToken(jsontext.EndArray)
}

func (g *gallery) UnmarshalJSON(data []byte) error {
	var list []*picture
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, p := range list {
		g.entries.Load(p.Key, p)
	}
	return nil
}

func hang(g *gallery, p *picture) error {
	g.entries.Set(p.Key, p)
	return nil
}

var text = strings.Repeat("x", 170) // 200 bytes as an event

func newGallery(entries int) *gallery {
	g := new(gallery)
	for i := range entries {
		g.entries.Load(i, &picture{i, strings.Clone(text)})
	}
	return g
}

func openGallery(b *testing.B, dir string, g *gallery, o *Options) *Store[*gallery, *picture] {
	b.Helper()
	s, err := Open(dir, g, hang, o)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// churn has writers change entries, spread over all of them, until stop.
func churn(b *testing.B, s *Store[*gallery, *picture], writers, entries int) (commits *atomic.Int64, stop func()) {
	var stopped atomic.Bool
	commits = new(atomic.Int64)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; !stopped.Load(); i++ {
				key := i * 7919 % entries
				if _, err := s.Update(b.Context(), func(*gallery) ([]*picture, error) { return []*picture{{key, text}}, nil }); err != nil {
					b.Error(err)
					return
				}
				commits.Add(1)
			}
		})
	}
	return commits, func() { stopped.Store(true); wg.Wait() }
}

func medianOf(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// Commits per second with 100,000 entries of state and with 100, checkpoints
// by their default triggers.
func BenchmarkStateSize(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			rates := map[int][]float64{}
			var ratios []float64
			for range 5 {
				for _, entries := range []int{100, 100_000} {
					s := openGallery(b, b.TempDir(), newGallery(entries), nil)
					runtime.GC()
					commits, stop := churn(b, s, writers, entries)
					<-time.After(300 * time.Millisecond)
					before, start := commits.Load(), time.Now()
					<-time.After(2 * time.Second)
					rates[entries] = append(rates[entries], float64(commits.Load()-before)/time.Since(start).Seconds())
					stop()
					s.Close()
				}
				last := len(rates[100]) - 1
				ratios = append(ratios, rates[100_000][last]/rates[100][last])
			}
			b.ReportMetric(medianOf(rates[100]), "commits/s@100")
			b.ReportMetric(medianOf(rates[100_000]), "commits/s@100k")
			b.ReportMetric(medianOf(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// The time to read a page of 50 entries from State: alone, during commits and
// checkpoints, and while the disk hangs.
func BenchmarkReadPage(b *testing.B) {
	const entries = 10_000
	d := &gate{}
	s := openGallery(b, b.TempDir(), newGallery(entries), &Options{seam: seam{FS: d}})
	defer s.Close()
	var sum int
	page := func(n int) time.Duration {
		start := time.Now()
		g, _ := s.State()
		left := 50
		g.entries.Ascend(n*50%entries, func(_ int, p *picture) bool {
			sum += len(p.Text)
			left--
			return left > 0
		})
		return time.Since(start)
	}
	p99 := func() float64 {
		var took []float64
		for start := time.Now(); time.Since(start) < time.Second; {
			took = append(took, float64(page(len(took))))
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	p99() // warm
	var alone, beside, commits, hanging, besideRatio, commitsRatio, hangingRatio []float64
	for range 5 {
		alone = append(alone, p99())

		// What the machine itself makes of two busy cores, which no store can
		// better: somebody else encodes the same JSON and touches none of it.
		var done atomic.Bool
		var other sync.WaitGroup
		other.Go(func() {
			for !done.Load() {
				json.Marshal(picture{Text: "a picture of somebody else"})
			}
		})
		beside = append(beside, p99())
		done.Store(true)
		other.Wait()

		_, stop := churn(b, s, 8, entries)
		again := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-again:
					return
				case <-time.After(100 * time.Millisecond):
					s.Checkpoint(b.Context())
				}
			}
		})
		commits = append(commits, p99())
		close(again)
		wg.Wait()

		d.closed.Lock()
		hanging = append(hanging, p99())
		d.closed.Unlock()
		stop()
		last := len(alone) - 1
		besideRatio = append(besideRatio, beside[last]/alone[last])
		commitsRatio = append(commitsRatio, commits[last]/alone[last])
		hangingRatio = append(hangingRatio, hanging[last]/alone[last])
	}
	b.ReportMetric(medianOf(alone), "p99-ns-alone")
	b.ReportMetric(medianOf(beside), "p99-ns-beside")
	b.ReportMetric(medianOf(commits), "p99-ns-commits")
	b.ReportMetric(medianOf(hanging), "p99-ns-hanging")
	b.ReportMetric(medianOf(besideRatio), "beside/alone")
	b.ReportMetric(medianOf(commitsRatio), "commits/alone")
	b.ReportMetric(medianOf(hangingRatio), "hanging/alone")
	b.ReportMetric(0, "ns/op")
}

// gate is the real disk, whose syncs hang while closed is locked.
type gate struct {
	vfs.Disk
	closed sync.RWMutex
}

func (d *gate) Create(path string) (vfs.Appender, error) {
	f, err := d.Disk.Create(path)
	return gateFile{f, d}, err
}

type gateFile struct {
	vfs.Appender
	gate *gate
}

func (f gateFile) Sync() error {
	f.gate.closed.RLock()
	defer f.gate.closed.RUnlock()
	return f.Appender.Sync()
}

// Opening 100,000 entries and 10,000 records of the log after them.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openGallery(b, dir, newGallery(100_000), nil)
	if err := s.Checkpoint(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.checkpoints.stop()
	commits, stop := churn(b, s, 64, 100_000)
	for commits.Load() < 10_000 {
		<-time.After(time.Millisecond)
	}
	stop()
	// As a crash leaves it: no final snapshot.
	crashed := b.TempDir()
	copyStore(b, dir, crashed)
	s.Close()
	for b.Loop() {
		b.StopTimer()
		fresh := b.TempDir()
		copyStore(b, crashed, fresh)
		runtime.GC()
		b.StartTimer()
		s := openGallery(b, fresh, new(gallery), nil)
		b.StopTimer()
		if _, at := s.State(); at.Seq < 10_000 {
			b.Fatalf("opened at %s", at)
		}
		s.Close()
		b.StartTimer()
	}
}

func copyStore(b *testing.B, from, to string) {
	b.Helper()
	for _, dir := range []string{"", "/" + walName} {
		var d vfs.Disk
		d.Mkdir(to + dir)
		names, _ := d.Names(from + dir)
		for _, name := range names {
			data, err := d.Read(from + dir + "/" + name)
			if err != nil {
				continue // the folder of the log
			}
			if err := d.Replace(to+dir+"/"+name, data); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// The memory of a store of 100,000 entries beside that of the state alone, and
// what a checkpoint takes for a while, in encoded snapshots.
func BenchmarkMemory(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(5)) // so that the heap is hardly more than what lives
	base := heap()
	g := newGallery(100_000)
	alone := heap() - base
	s := openGallery(b, b.TempDir(), g, nil)
	defer s.Close()
	commits, stop := churn(b, s, 64, 100_000)
	for commits.Load() < 200_000 {
		<-time.After(time.Millisecond)
	}
	stop()
	g = nil
	s.checkpoints.stop()
	open := heap() - base

	done := make(chan struct{})
	go func() { defer close(done); s.Checkpoint(b.Context()) }()
	peak := int64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(time.Millisecond):
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, int64(m.HeapAlloc+m.StackInuse)-base)
	}
	snapshot := s.Stats().SnapshotBytes
	b.ReportMetric(float64(open)/float64(alone), "store/state")
	b.ReportMetric(float64(peak-open)/float64(snapshot), "snapshots-during-checkpoint")
	b.ReportMetric(float64(alone)/1e6, "state-MB")
	b.ReportMetric(float64(snapshot)/1e6, "snapshot-MB")
	b.ReportMetric(0, "ns/op")
}
