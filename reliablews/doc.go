// Package reliablews delivers messages to browsers and programs over WebSocket
// connections that break.
//
// A [Hub] is an http.Handler. It has topics; each message of a [Topic] has an
// offset that its publisher chooses, such as a position in a log. A client says
// which offset of which topic it has, gets what it missed, and then what is
// new. [Client] is the client for Go, js/reliablews.js the one for browsers;
// PROTOCOL.md is enough to write another.
//
// Besides, a server writes to one client, or to all tabs of a user, with
// [Hub.Send] and [Hub.SendUser], handles what clients say with [Hub.Handle], and
// knows who is here with [Hub.Present]. Where WebSockets are blocked, the clients
// do without them: the same frames go over plain HTTP.
//
// # Promises
//
//   - A subscriber gets every message of a topic once and in order, however
//     often its connection breaks; or a snapshot that stands for what it
//     missed; or it is told that there is a gap. Never silence.
//   - That holds across a restart of the server if its messages are published
//     again from where they are durable before it listens, or can be read back
//     from there ([TopicOptions].History).
//   - What a client sends is handled once while its session lives, in order, and
//     answered after the handler has returned.
//   - A message for one client waits while it is away, for 5 minutes, and is
//     delivered once; what is dropped is counted and the client is told.
//   - A subscriber that reads slowly costs no memory but its place in the
//     history, and delays nobody.
//   - A connection that has died silently is noticed within 45 s on both sides.
//   - Positions are pairs of epoch and offset and are never mixed.
//   - Every connection, queue and history has a bound; those in [HubOptions] can
//     be changed.
//
// # Not promised
//
//   - Nothing is durable here. What must not be lost is written elsewhere
//     before it is published. Sessions, inboxes and what was handled are lost
//     with the process: a client that repeats a message after a restart has it
//     handled again, under the same [Request].ID.
package reliablews
