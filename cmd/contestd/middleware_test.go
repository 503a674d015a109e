package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener with one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l oneConn) Close() error   { close(l.done); return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestADeadlineForTheBodyDoesNotOutliveIt lets handlers take longer than a body
// may: neither their own context nor that of the connection's next request may
// end by it.
func TestADeadlineForTheBodyDoesNotOutliveIt(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			l := oneConn{make(chan net.Conn, 1), make(chan struct{})}
			l.conns <- server
			s := &http.Server{Handler: withDeadline(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					io.Copy(io.Discard, r.Body)
				}
				select {
				case <-time.After(2 * bodyTimeout):
				case <-r.Context().Done():
					t.Error("the context of a request ended while its client was there")
				}
			}), bodyTimeout)}
			go s.Serve(l)
			answers := bufio.NewReader(client)
			for range 2 {
				if _, err := io.WriteString(client, request); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			client.Close()
			s.Close()
		})
	}
}

func TestABodyThatTricklesIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		l := oneConn{make(chan net.Conn, 1), make(chan struct{})}
		l.conns <- server
		ended := make(chan error, 1)
		began := time.Now()
		s := &http.Server{Handler: withDeadline(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		}), bodyTimeout)}
		go s.Serve(l)
		go io.Copy(io.Discard, client)
		io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"+strings.Repeat("x", 100))
		if err := <-ended; err == nil || time.Since(began) != bodyTimeout {
			t.Errorf("half a body ended with %v after %s", err, time.Since(began))
		}
		client.Close()
		s.Close()
	})
}
