package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/contestkit/contestkit/atomicstore"
	"github.com/contestkit/contestkit/reliablews"
)

// The topics of the hub, besides each page's inbox, where direct messages come.
const (
	roomTopic = "room" // Said; a snapshot is a list of them
	whoTopic  = "who"  // Presence; the same
)

// Presence says that a user is here, or not any more.
type Presence struct {
	Person
	Here bool `json:"here"`
}

// Direct is a message of one user to another. It comes to all pages of both.
type Direct struct {
	ID   string `json:"id"` // made by the page that sent it
	From Person `json:"from"`
	To   Person `json:"to"`
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds since 1970
}

// chat is a room on disk and the hub that shows it. What is said goes to the
// store first; follow publishes what the store has, and nothing else does.
type chat struct {
	store     *atomicstore.Store[*Room, Event]
	hub       *reliablews.Hub
	room, who *reliablews.Topic
	begin     atomicstore.Position // of the room at the start

	mu   sync.Mutex // orders what is published on who; guards here
	here map[string]bool
}

func openChat(dir string, grace time.Duration) (*chat, error) {
	store, err := atomicstore.Open(dir, &Room{}, apply, &atomicstore.Options{KeepModifications: 2 * keptMessages})
	if err != nil {
		return nil, err
	}
	c := &chat{store: store, here: map[string]bool{}}
	c.hub = reliablews.NewHub(&reliablews.HubOptions{
		Authorize:     authorize,
		OnPresence:    c.presence,
		PresenceGrace: grace,
		MaxFrameRate:  10, // nobody types faster
		GoodbyeSpread: time.Second,
	})
	// The position in the store's log is the offset in the topic, so a page
	// goes on where it was, whichever run of the program it was connected to.
	_, c.begin = store.State()
	c.room, err = c.hub.Topic(roomTopic, reliablews.Position{Epoch: c.begin.Epoch, Offset: c.begin.Seq},
		&reliablews.TopicOptions{Snapshot: c.roomSnapshot, History: c.roomHistory})
	if err == nil {
		// Who is here is true of this run alone: an epoch of its own.
		c.who, err = c.hub.Topic(whoTopic, reliablews.Position{Epoch: rand.Text()}, &reliablews.TopicOptions{Snapshot: c.whoSnapshot})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	c.hub.Handle("me", c.handleMe)
	c.hub.Handle("name", c.handleName)
	c.hub.Handle("say", c.handleSay)
	c.hub.Handle("tell", c.handleTell)
	return c, nil
}

// authorize knows a visitor by a secret that the page made up and keeps. It
// comes in the hello, never in a URL. The user is its hash: others see that,
// and cannot find the secret to it.
func authorize(r *http.Request) (reliablews.Identity, error) {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return reliablews.Identity{}, reliablews.ErrLater
	}
	if len(secret) < 32 {
		return reliablews.Identity{}, errors.New("the secret is too short")
	}
	hash := sha256.Sum256([]byte(secret))
	return reliablews.Identity{User: hex.EncodeToString(hash[:16]), Topics: []string{roomTopic, whoTopic}}, nil
}

// follow publishes every change of the room, once it is on disk, until ctx ends.
func (c *chat) follow(ctx context.Context) error {
	for change, err := range c.store.Changes(ctx, c.begin) {
		if err != nil {
			return err
		}
		for _, e := range change.Events { // one a change
			switch {
			case e.Said != nil:
				err = c.room.Publish(change.Seq, e.Said)
			case e.Named != nil:
				err = cmp.Or(c.room.Advance(change.Seq), c.renamed(e.Named.User))
			}
			if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// roomSnapshot is for pages that come for the first time.
func (c *chat) roomSnapshot(context.Context) (reliablews.Position, any, error) {
	room, at := c.store.State()
	return reliablews.Position{Epoch: at.Epoch, Offset: at.Seq}, append([]Said{}, room.Messages...), nil
}

// roomHistory is for pages that come back, also after a restart: it reads what
// they missed from the log.
func (c *chat) roomHistory(ctx context.Context, after, upTo uint64) iter.Seq2[reliablews.HistoryMessage, error] {
	return func(yield func(reliablews.HistoryMessage, error) bool) {
		for change, err := range c.store.Changes(ctx, atomicstore.Position{Epoch: c.begin.Epoch, Seq: after}) {
			if err != nil {
				yield(reliablews.HistoryMessage{}, err) // it does not reach back that far: a snapshot
				return
			}
			for _, e := range change.Events {
				if e.Said != nil && !yield(reliablews.HistoryMessage{Offset: change.Seq, Data: e.Said}, nil) {
					return
				}
			}
			if change.Seq >= upTo {
				return
			}
		}
	}
}

// presence hears from the hub who comes and goes, over all tabs of a user.
func (c *chat) presence(user string, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if here {
		c.here[user] = true
	} else {
		delete(c.here, user)
	}
	c.publishWho(user)
}

// renamed tells the others, if the user is still here.
func (c *chat) renamed(user string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.here[user] {
		return nil
	}
	return c.publishWho(user)
}

// publishWho says how it is now. The caller holds the lock.
func (c *chat) publishWho(user string) error {
	room, _ := c.store.State()
	return c.who.Publish(c.who.Position().Offset+1, Presence{Person{user, room.name(user)}, c.here[user]})
}

func (c *chat) whoSnapshot(context.Context) (reliablews.Position, any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room, _ := c.store.State()
	names := map[string]string{}
	for _, p := range room.People {
		names[p.User] = p.Name
	}
	list := []Presence{}
	for user := range c.here {
		list = append(list, Presence{Person{user, names[user]}, true})
	}
	return c.who.Position(), list, nil
}

// handleMe tells a page who it is.
func (c *chat) handleMe(_ context.Context, r *reliablews.Request) (any, error) {
	room, _ := c.store.State()
	return Person{r.User, room.name(r.User)}, nil
}

func (c *chat) handleName(ctx context.Context, r *reliablews.Request) (any, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, refuse("form", "That is not a name.")
	}
	if _, err := c.store.Update(ctx, func(room *Room) ([]Event, error) {
		return room.rename(Person{r.User, in.Name})
	}); err != nil {
		return nil, err
	}
	return c.handleMe(ctx, r)
}

// handleSay is answered when the message is on disk.
func (c *chat) handleSay(ctx context.Context, r *reliablews.Request) (any, error) {
	var in struct{ ID, Text string }
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, refuse("form", "That is not a message.")
	}
	m := Said{ID: in.ID, By: r.User, Text: in.Text, At: time.Now().UnixMilli()}
	_, err := c.store.Update(ctx, func(room *Room) ([]Event, error) { return room.say(m) })
	return nil, err
}

// handleTell is answered when the message is in the inboxes of both. It is not
// on disk: what waits there is lost with the program, and the pages are told.
func (c *chat) handleTell(_ context.Context, r *reliablews.Request) (any, error) {
	var in struct{ ID, To, Text string }
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, refuse("form", "That is not a message.")
	}
	room, _ := c.store.State()
	d := Direct{
		ID: in.ID, Text: strings.TrimSpace(in.Text), At: time.Now().UnixMilli(),
		From: Person{r.User, room.name(r.User)}, To: Person{in.To, room.name(in.To)},
	}
	switch {
	case d.From.Name == "":
		return nil, errNoName
	case d.To.Name == "" || in.To == r.User:
		return nil, refuse("nobody", "There is nobody of that name.")
	}
	if err := checkText(d.ID, d.Text); err != nil {
		return nil, err
	}
	n, err := c.hub.SendUser(in.To, d)
	if err != nil {
		return nil, err
	}
	if n == 0 { // its sessions were forgotten, 5 minutes after the last was seen
		return nil, refuse("away", d.To.Name+" has been away for too long. Try again when "+d.To.Name+" is here.")
	}
	_, err = c.hub.SendUser(r.User, d) // the sender's own pages show it too
	return nil, err
}
