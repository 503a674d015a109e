package uploads_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/contestkit/contestkit/uploads"
)

// booth is a server on the loopback that takes photos and shows them. It answers
// with the id of a photo, or with an error's status and sentence.
type booth struct {
	*httptest.Server
	dir  *uploads.Dir
	path string

	mu   sync.Mutex // guards last
	last error      // of Accept
}

func openBooth(t *testing.T, options *uploads.Options) *booth {
	t.Helper()
	b := &booth{}
	b.dir, b.path = given(t, options)
	mux := http.NewServeMux()
	mux.Handle("GET /uploads/", http.StripPrefix("/uploads", b.dir.Handler(nil)))
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		p, err := b.dir.Accept(r.Context(), r.Body)
		b.mu.Lock()
		b.last = err
		b.mu.Unlock()
		var said interface {
			HTTPStatus() int
			Sentence() string
		}
		switch {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, p.ID)
		case errors.As(err, &said):
			http.Error(w, said.Sentence(), said.HTTPStatus())
		default:
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close) // before the folder closes
	return b
}

// send returns the status of the answer, the id in it, and the error of Accept.
func (b *booth) send(photo []byte) (status int, id uploads.PhotoID, err error) {
	res, err := b.Client().Post(b.URL, "image/jpeg", bytes.NewReader(photo)) // whatever it is
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return res.StatusCode, uploads.PhotoID(body), b.last
}

// well checks that nothing is left of what came before and that the next visitor
// is served.
func (b *booth) well(t *testing.T) {
	t.Helper()
	if got := files(t, b.path); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	if s := b.dir.Stats(); s.DecodeBytes != 0 || s.DecodeQueue != 0 || s.Photos != 0 {
		t.Errorf("got %+v, want nothing held", s)
	}
	status, id, err := b.send(jpegOf(quarters(64, 48)))
	if status != http.StatusCreated || err != nil {
		t.Fatalf("the next photo is answered with %d, %v", status, err)
	}
	res, err := b.Client().Get(b.URL + "/uploads/" + string(id))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the next photo is shown with %d as %q", res.StatusCode, res.Header.Get("Content-Type"))
	}
	remove(t, b.dir, id)
	removeGrave(t, b.path, id)
}

// dial begins a request by hand, with any length.
func (b *booth) dial(t *testing.T, length int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: booth\r\nContent-Length: %d\r\n\r\n", length)
	return c
}

// answered returns the status of the answer to a request by hand.
func answered(t *testing.T, c net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestAContentLengthThatIsWrong(t *testing.T) {
	photo := jpegOf(noise(100, 100))
	t.Run("more than comes", func(t *testing.T) {
		b := openBooth(t, nil)
		c := b.dial(t, len(photo)+1)
		c.Write(photo)
		c.(*net.TCPConn).CloseWrite()
		if got := answered(t, c); got != http.StatusBadRequest {
			t.Errorf("got status %d, want 400", got)
		}
		if s := b.dir.Stats(); s.Failed != 1 || s.Refused != 0 {
			t.Errorf("got %+v: the photo is blamed for the connection", s)
		}
		b.well(t)
	})
	t.Run("less than comes", func(t *testing.T) {
		b := openBooth(t, nil)
		// The server reads the rest as another request. It must not be more than it
		// reads at once, or the end of the connection may overtake the answer.
		c := b.dial(t, len(photo)-100)
		c.Write(photo)
		if got := answered(t, c); got != http.StatusUnsupportedMediaType {
			t.Errorf("got status %d, want 415", got)
		}
		b.well(t)
	})
	t.Run("none, and too much comes", func(t *testing.T) {
		b := openBooth(t, nil)
		endless := io.MultiReader(bytes.NewReader(photo), strings.NewReader(strings.Repeat("\x00", 10<<20)))
		res, err := b.Client().Post(b.URL, "image/jpeg", endless) // in chunks
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got status %d, want 413", res.StatusCode)
		}
		b.well(t)
	})
}

// TestSlowUploadsHoldUpNobody leaves as many half-way as a busy hall has.
func TestSlowUploadsHoldUpNobody(t *testing.T) {
	const busy = 50
	var begun atomic.Int32
	o := &uploads.Options{}
	o.OnStep(func(name string) error {
		if name == "receive" {
			begun.Add(1)
		}
		return nil
	})
	b := openBooth(t, o)
	photo := jpegOf(quarters(65, 48))
	half := len(photo) / 2
	var slow []net.Conn
	for range busy {
		c := b.dial(t, len(photo))
		c.Write(photo[:half])
		slow = append(slow, c)
	}
	until(t, func() bool { return begun.Load() == busy })
	b.well(t)
	for i := range photo[half:] { // the first one goes on, byte by byte
		if _, err := slow[0].Write(photo[half+i : half+i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := answered(t, slow[0]); got != http.StatusCreated {
		t.Errorf("got status %d, want 201", got)
	}
	for _, c := range slow[1:] { // the others go out of range
		c.Close()
	}
	until(t, func() bool { return b.dir.Stats().Failed == busy-1 })
	for _, id := range ids(t, b.dir) {
		remove(t, b.dir, id)
		removeGrave(t, b.path, id)
	}
	b.well(t)
	if s := b.dir.Stats(); s.Refused != 0 {
		t.Errorf("got %+v: the photo is blamed for the connection", s)
	}
}

// TestACutUploadLeavesNothing cuts it at many places, the head of the request
// included.
func TestACutUploadLeavesNothing(t *testing.T) {
	b := openBooth(t, nil)
	photo := jpegOf(noise(60, 60))
	cuts := uint64(0)
	for n := 0; n < len(photo); n += len(photo)/20 + 1 {
		c := b.dial(t, len(photo))
		c.Write(photo[:n])
		c.Close()
		cuts++
	}
	until(t, func() bool { return b.dir.Stats().Failed == cuts })
	b.well(t)
}
