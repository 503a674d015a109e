package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/lxzan/gws"
	"github.com/olahol/melody"
)

// writeDelay is centrifuge's cheapest of those tried, see README.md.
const writeDelay = 50 * time.Millisecond

type centrifugeServer struct {
	http.Handler
	node *centrifuge.Node
}

func startCentrifuge(delay time.Duration) (server, error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError, LogHandler: func(e centrifuge.LogEntry) {
		fmt.Println(e.Message, e.Fields)
	}})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}
		if delay > 0 {
			reply.WriteDelay, reply.WriteWithTimer, reply.MaxMessagesInFrame = delay, true, -1
		}
		return reply, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true}}, nil)
		})
		client.OnRPC(func(e centrifuge.RPCEvent, done centrifuge.RPCCallback) {
			done(centrifuge.RPCReply{Data: e.Data}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, err
	}
	return &centrifugeServer{centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}), node}, nil
}

func (s *centrifugeServer) publish(messages []string) {
	for _, m := range messages {
		if _, err := s.node.Publish("bench", []byte(`"`+m+`"`), centrifuge.WithHistory(historyMessages, historyTime)); err != nil {
			panic(err) // the memory broker has no errors
		}
	}
}

func (s *centrifugeServer) subscribers() int { return s.node.Hub().NumSubscribers("bench") }

type melodyServer struct{ *melody.Melody }

func startMelody() (server, error) {
	m := melody.New()
	m.HandleMessage(func(s *melody.Session, data []byte) {
		s.Write(data) // an error ends the session
	})
	return melodyServer{m}, nil
}

func (s melodyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.HandleRequest(w, r) // it has answered an error
}

func (s melodyServer) publish(messages []string) {
	for _, m := range messages {
		if err := s.Broadcast([]byte(`"` + m + `"`)); err != nil {
			panic(err) // never closed
		}
	}
}

func (s melodyServer) subscribers() int { return s.Len() }

type gwsServer struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	members[*gws.Conn]
}

func startGWS() (server, error) {
	s := &gwsServer{}
	s.upgrader = gws.NewUpgrader(s, nil)
	return s, nil
}

func (s *gwsServer) OnOpen(c *gws.Conn)           { s.add(c) }
func (s *gwsServer) OnClose(c *gws.Conn, _ error) { s.remove(c) }

func (s *gwsServer) OnMessage(c *gws.Conn, m *gws.Message) {
	c.WriteMessage(m.Opcode, m.Bytes()) // an error closes
	m.Close()
}

func (s *gwsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	go c.ReadLoop() // its documentation: so that the request can be collected
}

func (s *gwsServer) publish(messages []string) {
	for _, m := range messages {
		b := gws.NewBroadcaster(gws.OpcodeText, []byte(`"`+m+`"`))
		s.mu.Lock()
		for c := range s.all {
			b.Broadcast(c) // an error closes
		}
		s.mu.Unlock()
		b.Close()
	}
}
