package main

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestRefusedSubmissions(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	v := s.visitor()
	photo := jpegPhoto(t, 1)
	with := func(field, value string) entry {
		e := maps.Clone(newEntry("one"))
		e[field] = value
		return e
	}
	twice := func(field string) answer {
		contentType, body := newEntry("one").form(photo)
		boundary := strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
		part := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + field + "\"\r\n\r\nagain\r\n"
		end := strings.LastIndex(string(body), "--"+boundary+"--")
		return v.do("POST", "/api/submit", contentType, strings.NewReader(string(body[:end])+part+string(body[end:])))
	}
	for name, test := range map[string]struct {
		got   answer
		want  int
		field string
	}{
		"no photo":                {v.submit(newEntry("one"), nil), 400, "photo"},
		"an empty photo":          {v.submit(newEntry("one"), []byte{}), 400, "photo"},
		"a page, not a photo":     {v.submit(newEntry("one"), []byte("<html><script>alert(1)</script>")), 415, "photo"},
		"half a photo":            {v.submit(newEntry("one"), photo[:len(photo)/2]), 415, "photo"},
		"a photo over the limit":  {v.submit(newEntry("one"), append(photo, make([]byte, 10<<20)...)), 413, "photo"},
		"no caption":              {v.submit(with("caption", ""), photo), 400, "caption"},
		"a caption of blanks":     {v.submit(with("caption", "  \t "), photo), 400, "caption"},
		"a long caption":          {v.submit(with("caption", strings.Repeat("x", 281)), photo), 400, "caption"},
		"a caption that reverses": {v.submit(with("caption", "abc\u202edef"), photo), 400, "caption"},
		"no name":                 {v.submit(with("name", ""), photo), 400, "name"},
		"no phone":                {v.submit(with("phone", ""), photo), 400, "phone"},
		"no such category":        {v.submit(with("category", "nothing"), photo), 400, "category"},
		"caption twice":           {twice("caption"), 400, "caption"},
		"photo twice":             {twice("photo"), 400, "photo"},
		"not a form":              {v.do("POST", "/api/submit", "application/json", strings.NewReader("{}")), 415, ""},
		"a form that breaks off":  {v.do("POST", "/api/submit", "multipart/form-data; boundary=x", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nhal")), 400, ""},
		"a bad key":               {v.submit(newEntry("one"), photo, "Idempotency-Key", strings.Repeat("k", 129)), 400, ""},
	} {
		if test.got.Status != test.want {
			t.Errorf("%s: got %s, want %d", name, test.got, test.want)
			continue
		}
		p := test.got.json(t)
		if p["error"] == "" || p["error"] != p["detail"] {
			t.Errorf("%s: no sentence for the sender: %s", name, test.got)
		}
		errs, _ := p["errors"].([]any)
		if test.field != "" && (len(errs) != 1 || errs[0].(map[string]any)["field"] != test.field) {
			t.Errorf("%s: names the fields %v, want %s", name, errs, test.field)
		}
	}
	if ids := v.feedIDs("best"); len(ids) != 0 {
		t.Errorf("a refused submission is in the feed: %v", ids)
	}
	if photos := photosOnDisk(t, s.dir); len(photos) > 1 {
		t.Errorf("refused submissions left %v", photos) // one: its entry was refused for a field behind it
	}
}

// photosOnDisk returns every file below the uploads folder.
func photosOnDisk(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "uploads"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestARetryIsSafe sends one entry again and again, as a phone does that never
// saw the answer.
func TestARetryIsSafe(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	v := s.visitor()
	first := v.submit(newEntry("one"), jpegPhoto(t, 1), "Idempotency-Key", "k1")
	if first.Status != http.StatusCreated {
		t.Fatal(first)
	}
	if again := v.submit(newEntry("one"), jpegPhoto(t, 1), "Idempotency-Key", "k1"); again.Status != http.StatusCreated || again.json(t)["submissionId"] != first.json(t)["submissionId"] {
		t.Errorf("the same again got %s, want the first answer %s", again, first)
	}
	if other := v.submit(newEntry("other"), jpegPhoto(t, 1), "Idempotency-Key", "k1"); other.Status != http.StatusUnprocessableEntity {
		t.Errorf("another entry with the same key got %s", other)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, dir, 0)
	v = s.visitor()
	if later := v.submit(newEntry("one"), jpegPhoto(t, 1), "Idempotency-Key", "k1"); later.Status != http.StatusCreated || later.json(t)["submissionId"] != first.json(t)["submissionId"] {
		t.Errorf("after a restart the same again got %s, want the first answer %s", later, first)
	}
	if ids := v.feedIDs("best"); len(ids) != 1 {
		t.Errorf("the feed has %v, want one entry", ids)
	}
}

// TestACutUploadLeavesNothing ends the connection in the middle of the photo.
func TestACutUploadLeavesNothing(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	contentType, body := newEntry("one").form(jpegPhoto(t, 1))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url(""), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	var request bytes.Buffer
	r, _ := http.NewRequest("POST", s.url("/api/submit"), bytes.NewReader(body)) // a constant that parses
	r.Header.Set("Content-Type", contentType)
	r.Write(&request)
	if _, err := conn.Write(request.Bytes()[:request.Len()-200]); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, 64)
	n, _ := conn.Read(answer) // the server has given the request up once it says anything
	conn.Close()
	if strings.Contains(string(answer[:n]), " 201 ") {
		t.Errorf("a cut upload was answered with %q", answer[:n])
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if photos := photosOnDisk(t, s.dir); len(photos) != 0 {
		t.Errorf("a cut upload left %v", photos)
	}
}

// TestARefusalIsReadBehindALargePhoto: the entry is refused before its photo
// has arrived, and the phone, which sends it all before it reads, is told why.
func TestARefusalIsReadBehindALargePhoto(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	v := s.visitor()
	e := newEntry("one")
	e["phone"] = ""
	large := append(jpegPhoto(t, 1), make([]byte, 9<<20)...)
	contentType, body := e.form(large)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url(""), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, _ := http.NewRequest("POST", s.url("/api/submit"), bytes.NewReader(body)) // a constant that parses
	r.Header.Set("Content-Type", contentType)
	if err := r.Write(conn); err != nil {
		t.Fatalf("the server stopped listening: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s, want 400", resp.Status)
	}
	if ids := v.feedIDs("best"); len(ids) != 0 {
		t.Errorf("the feed has %v", ids)
	}
}

// TestWhatAVisitorHearsOfAPhotoThatDoesNotArrive is about the network and our
// side; what is wrong with a photo, package uploads says.
func TestWhatAVisitorHearsOfAPhotoThatDoesNotArrive(t *testing.T) {
	a := openTestApp(t, &config{StateDir: t.TempDir()})
	contentType, body := newEntry("one").form(jpegPhoto(t, 1))
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	photo := bytes.Index(body, []byte("\xff\xd8"))
	send := func(n int, end error) *problem {
		in := io.MultiReader(bytes.NewReader(body[:n]), iotest.ErrReader(end))
		_, err := a.readEntry(t.Context(), multipart.NewReader(in, params["boundary"]))
		if err == nil {
			t.Fatal("the entry was taken")
		}
		return problemFor(err)
	}
	slow := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for name, test := range map[string]struct {
		got    *problem
		status int
		says   string
	}{
		"too slow in the photo":   {send(photo+100, slow), 408, "network"},
		"too slow before it":      {send(20, slow), 408, "network"},
		"cut in the photo":        {send(photo+100, io.ErrUnexpectedEOF), 400, "Send it again"},
		"cut before it":           {send(20, io.ErrUnexpectedEOF), 400, "Send it again"},
		"too large, by the limit": {send(photo+100, &http.MaxBytesError{Limit: 1}), 413, "10 MB"},
	} {
		if test.got.Status != test.status || !strings.Contains(test.got.Detail, test.says) {
			t.Errorf("%s: got %d %q, want %d and %q", name, test.got.Status, test.got.Detail, test.status, test.says)
		}
	}
	if err := a.photos.Close(); err != nil { // as a shutdown does that has waited long enough
		t.Fatal(err)
	}
	if got := send(len(body), io.EOF); got.Status != 503 || !strings.Contains(got.Detail, "restarting") || got.retryAfter == 0 {
		t.Errorf("after the end: got %d %q, want 503 and a time to come back", got.Status, got.Detail)
	}
}
