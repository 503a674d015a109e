package uploads_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

const atOnce = 16

// crowd is a process that takes every photo of a folder, 16 at once, makes
// narrower copies of some, and tells the most memory that it had, in kB, and how
// many photos it refused.
func crowd(dir, photos string) {
	d, err := uploads.OpenDir(dir, nil)
	must(err)
	names, err := filepath.Glob(filepath.Join(photos, "*"))
	must(err)
	megabytes, err := strconv.Atoi(os.Getenv("UPLOADS_REST"))
	must(err)
	rest := bytes.Repeat([]byte{1}, megabytes<<20) // stands for the rest of contestd
	defer runtime.KeepAlive(rest)
	next := make(chan string)
	var copied, refused atomic.Int32
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for name := range next {
				f, err := os.Open(name)
				must(err)
				p, err := d.Accept(context.Background(), f)
				must(f.Close())
				var said interface{ Sentence() string }
				if errors.As(err, &said) {
					refused.Add(1)
					continue
				}
				must(err)
				if copied.Add(1)%8 != 1 {
					continue
				}
				if status := get(d, "/"+string(p.ID)+"?w=400").StatusCode; status != 200 {
					panic(fmt.Sprint(name, " is answered with ", status))
				}
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	wg.Wait()
	if s := d.Stats(); s.DecodeBytes != 0 || s.Failed != 0 {
		panic(fmt.Sprintf("%+v", s))
	}
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(strings.TrimSpace(peak), " ")
	fmt.Println(peak, refused.Load())
}

// peak returns the most memory that a crowd had, in bytes, and how many photos it
// refused. Besides, it has so many megabytes of something else.
func peak(t testing.TB, photos map[string][]byte, rest int) (most, refused int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the most memory that a process had")
	}
	from := t.TempDir()
	for name, photo := range photos {
		must(os.WriteFile(filepath.Join(from, name), photo, 0o600))
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "UPLOADS_CHILD="+filepath.Join(t.TempDir(), "uploads"), "UPLOADS_VERB=crowd", "UPLOADS_PHOTOS="+from, fmt.Sprint("UPLOADS_REST=", rest))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := fmt.Sscan(string(out), &most, &refused); err != nil {
		t.Fatal(err)
	}
	return most << 10, refused
}

// TestMemoryStaysUnderTheCeiling is what the package's comment promises of a
// process like contestd, whatever is sent.
func TestMemoryStaysUnderTheCeiling(t *testing.T) {
	if underRace {
		t.Skip("the race detector needs a multiple of the memory; make test-go has this test without it")
	}
	if testing.Short() {
		t.Skip("large pictures take seconds")
	}
	const ceiling = 400_000_000
	for name, test := range map[string]struct {
		photos  map[string][]byte
		refused int
	}{
		"photos of phones": {phonePhotos(), 0},
		"the worst":        {worstPictures(), 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, refused := peak(t, test.photos, 64)
			if refused != test.refused {
				t.Errorf("%d photos were refused, want %d", refused, test.refused)
			}
			if got >= ceiling {
				t.Errorf("%d MB were in memory, want less than %d", got/1_000_000, ceiling/1_000_000)
			}
			t.Logf("%d MB", got/1_000_000)
		})
	}
}

func phonePhotos() map[string][]byte {
	photos := map[string][]byte{}
	for i := range atOnce + 6 {
		photos[fmt.Sprint(i)] = plainJPEG(4032, 3024, false, -1, ycc(2, 2)...)
	}
	return photos
}

// worstPictures are the largest of each kind that are taken, those that are
// decoded alone included, and two that are not taken.
func worstPictures() map[string][]byte {
	side := func(b []byte) []byte { return jpegWithEXIF(b, 6) }
	cmyk := []part{{1, 1, 1, 0, 0}, {2, 1, 1, 0, 0}, {3, 1, 1, 0, 0}, {4, 1, 1, 0, 0}}
	return map[string][]byte{
		"JPEG on its side":             side(plainJPEG(8160, 6120, false, -1, ycc(2, 2)...)),
		"progressive JPEG on its side": side(plainJPEG(7296, 5472, true, -1, ycc(2, 2)...)),
		"CMYK JPEG on its side":        side(plainJPEG(7008, 5256, false, 0, cmyk...)),
		"PNG":                          plainPNG(7000, 7000, 8, 6, 0),
		"interlaced PNG with 16 bits":  plainPNG(4200, 4200, 16, 6, 1),
		"GIF":                          plainGIF(7000, 7000),
		"lossless WebP":                heavyWebP(4600, 4000),
		"a bomb":                       plainPNG(20000, 20000, 8, 0, 0),
		"a claim":                      pngHeader(30000, 30000, 8, 6, 0),
	}
}

// BenchmarkPeakMemory has 48 photos come, 16 at once, to a process that does
// nothing else.
func BenchmarkPeakMemory(b *testing.B) {
	for _, size := range sizes {
		b.Run("megapixels="+size.name, func(b *testing.B) {
			photos := map[string][]byte{}
			photo := scene(size.w, size.h)
			for i := range 3 * atOnce {
				photos[fmt.Sprint(i)] = photo
			}
			for b.Loop() {
				most, _ := peak(b, photos, 0)
				b.ReportMetric(float64(most)/1e6, "peak-MB")
			}
		})
	}
}
