package main

import (
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const writeTimeout = 10 * time.Second

// members are the connections of a server.
type members[T comparable] struct {
	mu  sync.Mutex // guards all
	all map[T]struct{}
}

func (m *members[T]) add(c T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[T]struct{}{}
	}
	m.all[c] = struct{}{}
}

func (m *members[T]) remove(c T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, c)
}

func (m *members[T]) subscribers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.all)
}

// naive is the hub that everybody writes first.
type naive struct {
	upgrader websocket.Upgrader
	members[*naiveConn]
}

type naiveConn struct {
	ws   *websocket.Conn
	send chan *websocket.PreparedMessage
}

func startNaive() (server, error) { return &naive{}, nil }

func (s *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	if r.URL.Path == "/echo" {
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			ws.SetWriteDeadline(time.Now().Add(writeTimeout))
			if err := ws.WriteMessage(kind, data); err != nil {
				return
			}
		}
	}
	c := &naiveConn{ws, make(chan *websocket.PreparedMessage, 256)}
	s.add(c)
	go c.write()
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			break
		}
	}
	s.remove(c)
	close(c.send) // publish holds the lock while it sends, and c is not there any more
}

func (c *naiveConn) write() {
	for m := range c.send {
		c.ws.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := c.ws.WritePreparedMessage(m); err != nil {
			c.ws.Close()
			return
		}
	}
}

func (s *naive) publish(messages []string) {
	for _, text := range messages {
		m, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(`"`+text+`"`))
		if err != nil {
			panic(err) // never for text
		}
		s.mu.Lock()
		for c := range s.all {
			select {
			case c.send <- m:
			default:
				c.ws.Close() // as the chat example does with who is too slow
			}
		}
		s.mu.Unlock()
	}
}

// raw is the limit of what a server in Go can do with one write a batch.
type raw struct {
	upgrader websocket.Upgrader
	members[net.Conn]
}

func startRaw() (server, error) {
	return &raw{upgrader: websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}}, nil
}

func (s *raw) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := ws.NetConn()
	s.add(c)
	go func() { // the request and what hangs on it are free
		var b [64]byte
		for {
			if _, err := c.Read(b[:]); err != nil {
				break
			}
		}
		s.remove(c)
		c.Close()
	}()
}

func (s *raw) publish(messages []string) {
	var batch []byte
	for _, text := range messages {
		batch = append(batch, 0x81, 126, 0, messageBytes)
		batch = append(batch, '"')
		batch = append(batch, text...)
		batch = append(batch, '"')
	}
	s.mu.Lock()
	list := make([]net.Conn, 0, len(s.all))
	for c := range s.all {
		list = append(list, c)
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for part := range slices.Chunk(list, max(1, (len(list)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))) {
		wg.Go(func() {
			for _, c := range part {
				c.Write(batch) // an error shows in the reader
			}
		})
	}
	wg.Wait()
}
