// Package reliablews delivers messages to browsers and programs over WebSocket
// connections that break.
//
// A [Hub] is an http.Handler. It has topics; each message of a [Topic] has an
// offset that its publisher chooses, such as a position in a log. A client says
// which offset of which topic it has, gets what it missed, and then what is
// new. [Client] is the client for Go, js/reliablews.js the one for browsers;
// PROTOCOL.md is enough to write another.
//
// # Promises
//
//   - A subscriber gets every message of a topic once and in order, however
//     often its connection breaks; or a snapshot that stands for what it
//     missed; or it is told that there is a gap. Never silence.
//   - That holds across a restart of the server if its messages are published
//     again from where they are durable before it listens.
//   - A subscriber that reads slowly costs no memory but its place in the
//     history, and delays nobody.
//   - A connection that has died silently is noticed within 45 s on both sides.
//   - Positions are pairs of epoch and offset and are never mixed.
//
// # Not promised
//
//   - Nothing is durable here. What must not be lost is written elsewhere
//     before it is published.
//   - Messages from clients to the server are not part of this version.
package reliablews
