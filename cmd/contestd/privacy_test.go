package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/contestkit/contestkit/reliablews"
)

// TestNoNameOrPhoneIsPublic looks for an entrant in every public answer, every
// public frame and the log.
func TestNoNameOrPhoneIsPublic(t *testing.T) {
	const name, phone = "Wilhelmina Zyx-Private", "+49 170 5559876543"
	s := startServer(t, t.TempDir(), 0)
	visitor, organiser := s.visitor(), s.organiser()

	socket, _, err := (&websocket.Dialer{Subprotocols: []string{reliablews.Subprotocol}}).Dial(strings.Replace(s.url("/ws"), "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// A stranger who asks for the organiser's topic as well.
	socket.WriteMessage(websocket.TextMessage, []byte(`{"t":"hello","topics":{"feed":null,"staff":null}}`))

	public := map[string][]byte{}
	e := newEntry("one")
	e["name"], e["phone"] = name, phone
	a := visitor.submit(e, jpegPhoto(t, 1))
	if a.Status != http.StatusCreated {
		t.Fatal(a)
	}
	public["the answer to the submission"] = a.Body
	id := a.json(t)["submissionId"].(string)
	again := newEntry("")
	again["name"], again["phone"] = name, phone
	public["a refused submission"] = visitor.submit(again, jpegPhoto(t, 2)).Body
	for _, r := range []struct {
		path string
		body map[string]any
	}{
		{"/api/hide", map[string]any{"id": id}},
		{"/api/unhide", map[string]any{"id": id}},
		{"/api/save-winners", map[string]any{"winners": map[string]any{"best": []string{id}}}},
	} {
		if a := organiser.post(r.path, r.body); a.Status != http.StatusOK {
			t.Fatal(a)
		}
	}
	for _, path := range []string{
		"/", "/winners.html", "/admin", "/categories.json", "/api/feed", "/api/winners", "/api/session", "/api/submissions",
		"/health", "/ready", "/api/realtime-health", "/api/realtime-metrics", "/api/realtime-fallback", "/api/metrics", "/nothing",
	} {
		public["GET "+path] = visitor.get(path).Body
	}

	var frames []byte
	for !bytes.Contains(frames, []byte("winnersUpdated")) {
		socket.SetReadDeadline(time.Now().Add(time.Minute))
		_, frame, err := socket.ReadMessage()
		if err != nil {
			t.Fatalf("%v after %s", err, frames)
		}
		frames = append(append(frames, frame...), '\n')
	}
	public["frames"] = frames
	var welcome struct{ Denied []string }
	if err := json.Unmarshal(frames[:bytes.IndexByte(frames, '\n')], &welcome); err != nil || len(welcome.Denied) != 1 || welcome.Denied[0] != "staff" {
		t.Errorf("a stranger's welcome: %v: %s", err, frames)
	}
	if !bytes.Contains(organiser.get("/api/submissions").Body, []byte(name)) {
		t.Error("the organiser does not see the name: this test looks for the wrong thing")
	}
	public["the log"] = []byte(s.log.String())

	for where, text := range public {
		for _, secret := range []string{name, "Zyx-Private", phone, "5559876543", testPassword} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s contains %q", where, secret)
			}
		}
	}
}
