package reliablews

import "github.com/gorilla/websocket"

// Subprotocol names the protocol and its version in the handshake.
const Subprotocol = "reliablews.v1"

// Close codes beyond those of RFC 6455 §7.4.1. PROTOCOL.md says what a client
// does on each.
const (
	CloseProtocol  = 4000 // the other side does not follow the protocol: never come back
	CloseTakenOver = 4001 // the session has another connection now: come back with a new session
	CloseSilent    = 4002 // nothing was heard for the timeout: come back
	CloseForbidden = 4003 // not allowed: never come back
	CloseNoHello   = 4004 // the hello did not come in time: come back

	// CloseUnauthorized asks for a fresh credential: come back with one, or
	// never if there is none to be had.
	CloseUnauthorized = 4005
)

// final tells whether a client that was closed with a code stays away.
func final(code int) bool {
	switch code {
	case CloseProtocol, CloseForbidden, websocket.ClosePolicyViolation, websocket.CloseMessageTooBig,
		websocket.CloseProtocolError, websocket.CloseUnsupportedData:
		return true
	}
	return false
}
