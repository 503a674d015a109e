package main

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the process of a measurement.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != childVerb {
		os.Exit(m.Run())
	}
	if err := child(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
}

var small = size{"small", 160, 120}

// A peer that does less than it should is worth no number.
func TestEveryPeerStoresTheSamePhotoUprightAndClean(t *testing.T) {
	photos, err := writePhotos(t.TempDir(), []size{small}, 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		for _, way := range ways {
			t.Run(p.name+"/"+way.name, func(t *testing.T) {
				want := stored(t, ours, photos[small.name+way.name][0])
				got := stored(t, p, photos[small.name+way.name][0])
				if bytes.Contains(got, []byte(camera)) || bytes.Contains(got, []byte("Exif")) {
					t.Error("metadata is left")
				}
				if got, want := firstQuantiser(t, got), firstQuantiser(t, want); !bytes.Equal(got, want) {
					t.Errorf("got a table of quantisers %v, want that of the same quality %v", got, want)
				}
				m, err := jpeg.Decode(bytes.NewReader(got))
				if err != nil {
					t.Fatal(err)
				}
				like, err := jpeg.Decode(bytes.NewReader(want))
				if err != nil {
					t.Fatal(err)
				}
				if m.Bounds() != like.Bounds() || way.orientation > 4 && m.Bounds().Dx() != small.h {
					t.Fatalf("got %v, want %v", m.Bounds(), like.Bounds())
				}
				far := 0
				for y := range m.Bounds().Dy() {
					for x := range m.Bounds().Dx() {
						_, green, _, _ := m.At(x, y).RGBA()
						_, want, _, _ := like.At(x, y).RGBA()
						if max(green, want)-min(green, want) > 12<<8 {
							far++
						}
					}
				}
				if far > small.w*small.h/100 {
					t.Errorf("%d of %d pixels are another colour", far, small.w*small.h)
				}
			})
		}
	}
}

func stored(t *testing.T, p peer, photo string) []byte {
	t.Helper()
	s, err := p.open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path, err := s.take(t.Context(), photo)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.forget(path); err != nil {
		t.Fatal(err)
	}
	return b
}

// firstQuantiser returns the table that brightness is divided by.
func firstQuantiser(t *testing.T, photo []byte) []byte {
	t.Helper()
	_, table, found := bytes.Cut(photo, []byte{0xff, 0xdb})
	if !found || len(table) < 3+64 {
		t.Fatal("no table of quantisers")
	}
	return table[3 : 3+64]
}

func TestMeasuringGivesEveryNumber(t *testing.T) {
	photos, err := writePhotos(t.TempDir(), []size{small}, 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		for _, atOnce := range []int{1, 3} {
			n, err := measureOnce(t.Context(), task{Peer: p.name, Photos: photos[small.name+ways[1].name], AtOnce: atOnce})
			if err != nil {
				t.Fatal(err)
			}
			if n.PerSecond <= 0 || n.CPU <= 0 || n.Before <= 0 || n.Peak < n.Before || (n.Stored <= 0) != (atOnce > 1) {
				t.Errorf("%s, %d at once: %+v", p.name, atOnce, n)
			}
		}
	}
}

func TestPhotoThatIsNotTakenGivesNoNumber(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.jpg")
	if err := os.WriteFile(broken, []byte("not a photo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		for _, atOnce := range []int{1, 3} {
			if _, err := measureOnce(t.Context(), task{Peer: p.name, Photos: []string{broken}, AtOnce: atOnce}); err == nil {
				t.Errorf("%s, %d at once: it gave numbers", p.name, atOnce)
			}
		}
	}
}

func TestCrowdThatStoresLessThanItTookGivesNoNumber(t *testing.T) {
	photos, err := writePhotos(t.TempDir(), []size{small}, 1)
	if err != nil {
		t.Fatal(err)
	}
	twice := append(photos[small.name+ways[1].name], photos[small.name+ways[1].name]...)
	_, err = measureOnce(t.Context(), task{Peer: nameOurs, Photos: twice, AtOnce: 2})
	if err == nil || !strings.Contains(err.Error(), "2 photos were stored as 1") {
		t.Errorf("got %v", err)
	}
}

func TestTheTablesHaveEveryPeerAndSize(t *testing.T) {
	b := &bench{rounds: 3, crowds: 1, sizes: sizes, results: map[cell][]numbers{}}
	for i, p := range peers {
		for round := range 3 {
			c := cell{peer: p.name, size: "3", way: ways[0].name}
			b.results[c] = append(b.results[c], numbers{PerSecond: float64((i + 1) * (round + 5))})
		}
	}
	got := b.markdown()
	for _, want := range []string{"| uploads | 0.0 | – | 6.0 | – | 0.0 | – |", "12 MP", "peak memory in MB, 16 at once"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if len(peers) > 1 && !strings.Contains(got, "| bimg | 0.0 | 0.00 | 12.0 | 0.50 |") {
		t.Errorf("no row of bimg in\n%s", got)
	}
	if lines := strings.Count(b.text(), nameOurs+" "); lines != len(b.tables()) {
		t.Errorf("%d rows of ours in the text, want one in each of %d tables", lines, len(b.tables()))
	}
}

// What is refused is refused before anything is measured.
func TestRunSaysWhatIsMissing(t *testing.T) {
	run := func(args ...string) error {
		return run(context.Background(), args, io.Discard, io.Discard)
	}
	if err := run("-rounds", "0"); err == nil || !strings.Contains(err.Error(), "-rounds") {
		t.Errorf("got %v", err)
	}
	err := run("-megapixels", "7")
	switch {
	case errNoVips == nil:
		if err == nil || !strings.Contains(err.Error(), "0.5, 3, 12") {
			t.Errorf("got %v", err)
		}
	case err == nil || !strings.Contains(err.Error(), "libvips-dev"):
		t.Errorf("got %v, want what to install", err)
	}
}

// Otherwise the second photo of each measurement would be no work.
func TestForgottenPhotoIsStoredAnew(t *testing.T) {
	photos, err := writePhotos(t.TempDir(), []size{small}, 6)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ours.open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		path, err := s.take(t.Context(), photos[small.name+ways[0].name][0])
		if err != nil {
			t.Fatal(err)
		}
		if err := s.forget(path); err != nil {
			t.Fatal(err)
		}
	}
	if again := s.(accepting).Stats().Again; again != 0 {
		t.Errorf("%d photos were there already", again)
	}
}
