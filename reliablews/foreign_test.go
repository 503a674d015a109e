package reliablews

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// needForeign returns node where the foreign client can run: its WebSockets are
// the package ws, which npm fetches once. It skips where that is not possible,
// but not in CI.
func needForeign(t *testing.T) (node string) {
	t.Helper()
	node = needNode(t)
	if _, err := os.Stat("testdata/foreign/node_modules/ws"); err == nil {
		return node
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = "testdata/foreign"
	out, err := cmd.CombinedOutput()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err != nil {
		t.Skipf("the package ws cannot be fetched: npm ci: %v\n%s", err, out)
	}
	return node
}

// A client that was written from PROTOCOL.md alone does what every client must.
func TestAForeignClientFollowsTheVectors(t *testing.T) {
	node := needForeign(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test", "vectors.mjs")
	cmd.Dir = "testdata/foreign"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// foreign is that client in a process of its own.
type foreign struct {
	t     *testing.T
	lines *bufio.Scanner
	in    io.WriteCloser
}

func startForeign(t *testing.T, url, topics string) *foreign {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needForeign(t), "follow.mjs", url, topics)
	cmd.Dir, cmd.Stderr = "testdata/foreign", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &foreign{t, bufio.NewScanner(out), in}
	t.Cleanup(func() {
		in.Close()
		for f.lines.Scan() {
		}
		cmd.Wait()
	})
	return f
}

func (f *foreign) tell(format string, args ...any) {
	f.t.Helper()
	if _, err := fmt.Fprintf(f.in, format+"\n", args...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *foreign) next() string {
	f.t.Helper()
	if !f.lines.Scan() {
		f.t.Fatal("the client has ended")
	}
	return f.lines.Text()
}

// want wants lines that match, in this order; what the pattern says in
// parentheses is returned.
func (f *foreign) want(patterns ...string) (found []string) {
	f.t.Helper()
	for _, p := range patterns {
		got := f.next()
		m := regexp.MustCompile("^" + p + "$").FindStringSubmatch(got)
		if m == nil {
			f.t.Fatalf("got %s, want %s", got, p)
		}
		found = append(found, m[1:]...)
	}
	return found
}

// TestAForeignClientOnARealHub goes through the protocol with it.
func TestAForeignClientOnARealHub(t *testing.T) {
	needForeign(t)
	o := quickOptions
	o.HeartbeatInterval = 100 * time.Millisecond
	h := NewHub(&o)
	feed := mustTopic(t, h, "feed", Position{"e1", 0}, nil)
	var shown *Topic
	shown = mustTopic(t, h, "shown", Position{"e9", 4}, &TopicOptions{Snapshot: snapshotAt(&shown)})
	h.Handle("say", func(_ context.Context, r *Request) (any, error) { return r.Data, nil })
	h.Handle("no", func(context.Context, *Request) (any, error) { return nil, &ReplyError{Refused: "closed"} })
	h.Handle("me", func(_ context.Context, r *Request) (any, error) { return r.Session, h.Send(r.Session, "for you") })
	mustPublish(t, feed, 1, 2)
	l := &loopback{t: t}
	l.serve(h)
	defer func() { l.stop() }()

	c := startForeign(t, l.url(), `{"feed":{"epoch":"e1","offset":1},"shown":null,"@":null,"secret":null}`)
	session := c.want(`\["welcome","(.*)"\]`)[0]
	got := c.next() + c.next() // topics have no order among them
	if !strings.Contains(got, `["message","feed","e1",2,`) || !strings.Contains(got, `["snapshot","shown","e9",4,`) {
		t.Errorf("it begins with %s", got)
	}

	// Messages both ways.
	c.tell(`["say",{"text":"é→𝄞"}]`)
	c.want(`\["answer",\{"text":"é→𝄞"\}\]`)
	c.tell(`["no"]`)
	c.want(`\["answer",null,"closed"\]`)
	c.tell(`["nothing"]`)
	c.want(`\["answer",null,"unknown"\]`)
	c.tell(`["me"]`)
	got = c.next() + c.next()
	if !strings.Contains(got, `["message","@","`+session+`",1,"for you"]`) || !strings.Contains(got, `["answer","`+session+`"]`) {
		t.Errorf("the inbox is %s", got)
	}

	// What it sends next acknowledges that.
	c.tell(`["say",1]`)
	c.want(`\["answer",1\]`)
	h.sessions.mu.Lock()
	held := len(h.sessions.byID[session].ownInbox().messages)
	h.sessions.mu.Unlock()
	if held != 0 {
		t.Errorf("%d messages of the inbox are held", held)
	}

	// Heartbeats are answered, and move positions over offsets without messages.
	if err := feed.Advance(7); err != nil {
		t.Fatal(err)
	}
	c.want(`\["ping",\{"feed":7\}\]`)
	c.tell(`["say",2]`) // behind its answer to the heartbeat
	c.want(`\["answer",2\]`)
	if h.Stats().LastHeartbeat.IsZero() {
		t.Error("no heartbeat was answered")
	}

	// Cut off, it resumes its session and misses nothing.
	l.cut()
	mustPublish(t, feed, 8, 12)
	c.want(`\["end",1006,false\]`, `\["welcome","`+session+`"\]`, `\["message","feed","e1",8,8\]`, `\["message","feed","e1",12,12\]`)

	// Taken over by another connection, it gets another session.
	thief := startForeign(t, l.url(), `{}`)
	thief.want(`\["welcome",.*\]`)
	h.mu.Lock()
	for conn := range h.conns {
		if conn.session.id == session {
			conn.close(CloseTakenOver, "taken over")
		}
	}
	h.mu.Unlock()
	c.want(`\["end",4001,false\]`)
	if again := c.want(`\["welcome","(.*)"\]`)[0]; again == session {
		t.Error("it has the session that was taken over")
	}
	c.want(`\["gap","@",".*",0,"epoch"\]`)

	// A restart without its session, then one after a goodbye.
	l.stop()
	h.Shutdown(t.Context())
	h = NewHub(&o)
	feed = mustTopic(t, h, "feed", Position{"e1", 0}, nil)
	mustPublish(t, feed, 1, 2, 8, 12, 20)
	l.serve(h)
	for {
		if line := c.next(); strings.HasPrefix(line, `["message"`) {
			if line != `["message","feed","e1",20,20]` {
				t.Errorf("after the restart it got %s", line)
			}
			break
		}
	}
	h.Shutdown(t.Context())
	c.wantSoon(`["end",1012,false]`)
	l.stop()
	h = NewHub(&o)
	feed = mustTopic(t, h, "feed", Position{"e1", 20}, nil)
	l.serve(h)
	c.wantSoon(`["welcome"`)
	defer h.Shutdown(context.Background())

	// What is no frame ends it for good.
	c.tell(`"no JSON"`)
	c.wantSoon(`["end",4000,true]`)
	mustPublish(t, feed, 21)
	thief.wantSoon(`["welcome"`)
	thief.tell("%s", mustJSON(t, `{"t":"send","c":"`+strings.Repeat("x", int(64<<10))+`"}`))
	thief.wantSoon(`["end",1009,true]`)
}

// wantSoon reads up to a line that begins so.
func (f *foreign) wantSoon(prefix string) {
	f.t.Helper()
	for !strings.HasPrefix(f.next(), prefix) {
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
