package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/contestkit/contestkit/reliablews"
)

const patience = 30 * time.Second // for one step; the longest wait between attempts

// visitor is a page of somebody, without the page.
type visitor struct {
	t      *testing.T
	name   string
	user   string
	client *reliablews.Client
	events chan reliablews.Event
	leave  func() // ends the connection; come begins it again
}

func newVisitor(t *testing.T, url, name string) *visitor {
	v := &visitor{t: t, name: name, events: make(chan reliablews.Event, 1000)}
	v.client = reliablews.NewClient(strings.Replace(url, "http", "ws", 1)+"/ws", &reliablews.ClientOptions{
		Topics:     map[string]reliablews.Position{roomTopic: {}, whoTopic: {}},
		GetToken:   func(context.Context) (string, error) { return strings.Repeat(name, 32), nil },
		OnMessage:  func(m reliablews.Message) { v.events <- m },
		OnDirect:   func(m reliablews.Message) { v.events <- m },
		OnSnapshot: func(s reliablews.Snapshot) { v.events <- s },
		OnGap:      func(g reliablews.Gap) { v.events <- g },
	})
	v.come()
	return v
}

func (v *visitor) come() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		v.client.Run(ctx)
	}()
	v.leave = func() {
		stop()
		<-ended
	}
	v.t.Cleanup(func() { v.leave() })
}

func (v *visitor) join() {
	v.t.Helper()
	var p Person
	if err := json.Unmarshal(v.ask("name", map[string]string{"name": v.name}), &p); err != nil || p.Name != v.name || p.User == "" {
		v.t.Fatalf("%s joined as %+v, %v", v.name, p, err)
	}
	v.user = p.User
}

func (v *visitor) ask(name string, data any) json.RawMessage {
	v.t.Helper()
	answer, err := v.try(name, data)
	if err != nil {
		v.t.Fatalf("%s: %s: %v", v.name, name, err)
	}
	return answer
}

func (v *visitor) try(name string, data any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	return v.client.Send(ctx, name, data)
}

func (v *visitor) say(id, text string) {
	v.t.Helper()
	v.ask("say", map[string]string{"id": id, "text": text})
}

func (v *visitor) tell(to, id, text string) {
	v.t.Helper()
	v.ask("tell", map[string]string{"to": to, "id": id, "text": text})
}

// next waits for an event of a topic; what comes before on others is dropped.
func (v *visitor) next(topic string) (e reliablews.Event, data json.RawMessage) {
	v.t.Helper()
	deadline := time.After(patience)
	for {
		var of string
		select {
		case e = <-v.events:
		case <-deadline:
			v.t.Fatalf("%s: nothing comes on %s", v.name, topic)
		}
		switch e := e.(type) {
		case reliablews.Message:
			of, data = e.Topic, e.Data
		case reliablews.Snapshot:
			of, data = e.Topic, e.Data
		case reliablews.Gap:
			of, data = e.Topic, nil
		}
		if of == topic {
			return e, data
		}
	}
}

// hears waits for the next message of the room and wants it to be this one.
func (v *visitor) hears(want string) {
	v.t.Helper()
	e, data := v.next(roomTopic)
	var said Said
	if _, ok := e.(reliablews.Message); !ok {
		v.t.Fatalf("%s: got %T of the room, want a message", v.name, e)
	}
	if err := json.Unmarshal(data, &said); err != nil || said.Name+": "+said.Text != want {
		v.t.Fatalf("%s hears %s, %v; want %q", v.name, data, err, want)
	}
}

// isTold waits for the next direct message and wants it to be this one.
func (v *visitor) isTold(want string) {
	v.t.Helper()
	e, data := v.next("@")
	var d Direct
	if err := json.Unmarshal(data, &d); err != nil || d.From.Name+" to "+d.To.Name+": "+d.Text != want {
		v.t.Fatalf("%s is told %s by %T, %v; want %q", v.name, data, e, err, want)
	}
}

// sees waits until somebody is here, or is not.
func (v *visitor) sees(name string, here bool) {
	v.t.Helper()
	for {
		e, data := v.next(whoTopic)
		var list []Presence
		if _, ok := e.(reliablews.Message); ok {
			data = slices.Concat([]byte("["), data, []byte("]"))
		}
		if err := json.Unmarshal(data, &list); err != nil {
			v.t.Fatalf("%s: %T %s: %v", v.name, e, data, err)
		}
		if slices.ContainsFunc(list, func(p Presence) bool { return p.Name == name && p.Here == here }) {
			return
		}
	}
}

// refusal returns the word of a refusal, "" for none.
func refusal(err error) string {
	var reply *reliablews.ReplyError
	if errors.As(err, &reply) {
		return reply.Refused
	}
	return ""
}

// TestAnEvening has two visitors in the room, one of them with two tabs, while
// the program is killed twice and ended in peace once.
func TestAnEvening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, url := start(t, "127.0.0.1:0", dir)
	ada, ben := newVisitor(t, url, "Ada"), newVisitor(t, url, "Ben")
	for _, v := range []*visitor{ada, ben} {
		if e, data := v.next(roomTopic); string(data) != "[]" {
			t.Fatalf("%s begins with %T %s, want an empty room", v.name, e, data)
		}
	}
	if _, err := ada.try("say", map[string]string{"id": "0", "text": "hello"}); refusal(err) != "name" {
		t.Errorf("without a name: got %v, want a refusal", err)
	}
	ada.join()
	ben.join()
	ada.sees("Ben", true)
	ben.sees("Ada", true)

	ada.say("1", "hello")
	ada.hears("Ada: hello")
	ben.hears("Ada: hello")
	ada.say("1", "hello") // again: as after a restart, with the same id
	ben.say("1", "hello yourself")
	ada.hears("Ben: hello yourself")
	ben.hears("Ben: hello yourself")

	ada.tell(ben.user, "d1", "between us")
	ada.isTold("Ada to Ben: between us") // for her other tabs
	ben.isTold("Ada to Ben: between us")
	if _, err := ada.try("tell", map[string]string{"to": "nobody", "id": "d2", "text": "?"}); refusal(err) != "nobody" {
		t.Errorf("to nobody: got %v, want a refusal", err)
	}

	// Ben has a second tab: with it he is here until both are gone.
	tab := newVisitor(t, url, "Ben")
	tab.sees("Ada", true)
	tab.leave()
	ben.leave()
	ada.sees("Ben", false)
	ada.tell(ben.user, "d3", "while you were away")
	ada.say("2", "where is he?")
	ada.hears("Ada: where is he?")
	ben.come()
	ben.isTold("Ada to Ben: while you were away")
	ben.hears("Ada: where is he?")

	for i, end := range []os.Signal{os.Kill, os.Interrupt, os.Kill} {
		n := string(rune('a' + i))
		cmd.Process.Signal(end)
		if err := cmd.Wait(); end == os.Interrupt && err != nil {
			t.Errorf("interrupted, it ends with %v", err)
		}
		// Said while there is no server.
		answered := make(chan error, 1)
		go func() {
			_, err := ada.try("say", map[string]string{"id": n, "text": "offline " + n})
			answered <- err
		}()
		cmd, _ = start(t, strings.TrimPrefix(url, "http://"), dir)
		ada.client.RetryNow() // the wait is the package's to test
		ben.client.RetryNow()
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		ada.hears("Ada: offline " + n)
		ben.hears("Ada: offline " + n) // from his position on: no snapshot, none twice
		ben.say("after "+n, "after "+n)
		ada.hears("Ben: after " + n)
		ben.hears("Ben: after " + n)
	}

	// Who comes now gets everything at once, names included.
	late := newVisitor(t, url, "Cleo")
	_, data := late.next(roomTopic)
	var all []Said
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, s := range all {
		texts = append(texts, s.Text)
	}
	want := []string{"hello", "hello yourself", "where is he?", "offline a", "after a", "offline b", "after b", "offline c", "after c"}
	if !slices.Equal(texts, want) {
		t.Errorf("the room has %q, want %q", texts, want)
	}
}

// TestMissedMessagesAreReadFromTheLog: said while a visitor was away, and the
// program was started anew before the visitor came back.
func TestMissedMessagesAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, url := start(t, "127.0.0.1:0", dir)
	ada, ben := newVisitor(t, url, "Ada"), newVisitor(t, url, "Ben")
	ada.join()
	ben.next(roomTopic)
	ada.say("1", "first")
	ben.hears("Ada: first")
	ben.leave()
	ada.say("2", "second")
	ben.come()
	ben.hears("Ada: second")
	ben.leave()
	ada.say("3", "third")
	cmd.Process.Kill()
	cmd.Wait()
	start(t, strings.TrimPrefix(url, "http://"), dir)
	ada.client.RetryNow()
	ada.say("4", "fourth")
	ben.come()
	ben.hears("Ada: third")
	ben.hears("Ada: fourth")
}
