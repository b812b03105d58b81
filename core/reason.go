package core

import (
	"encoding"
	"fmt"
)

// Reason is why a connection ended. Every end has exactly one, and each is a
// counter in Stats.Ends.
type Reason uint8

const (
	ReasonEOF          Reason = iota // the client's FIN
	ReasonReset                      // an error on the connection
	ReasonBye                        // the client's Close frame
	ReasonFull                       // the pool had no slot, or the transport nothing to serve it with
	ReasonPending                    // too many were not logged in yet
	ReasonAddress                    // too many from one address
	ReasonDenied                     // the login was denied
	ReasonLoginTimeout               // no login in time
	ReasonSlow                       // too far behind
	ReasonDrain                      // the server is going down
	ReasonCut                        // the server went down before all was written
	ReasonBadType                    // a frame of unknown type
	ReasonBadCommand                 // a File frame of unknown command
	ReasonMalformed                  // a File frame that lacks what its command needs
	ReasonTooLong                    // a frame over the limit
	ReasonNotLoggedIn                // Chat or File before the login
	ReasonSecondCred                 // a second Cred
	ReasonImpatient                  // too much sent before the login was decided
	ReasonFlood                      // more sent than may wait
	ReasonKicked                     // the operator ended it
	ReasonBanned                     // the client's address is banned
	ReasonPreface                    // the required preface is wrong, or did not come in time
	reasonCount
)

// Reasons is how many there are: Reason values are below it.
const Reasons = int(reasonCount)

var reasonNames = [Reasons]string{
	ReasonEOF: "eof", ReasonReset: "reset", ReasonBye: "bye", ReasonFull: "full",
	ReasonPending: "pending", ReasonAddress: "address", ReasonDenied: "denied",
	ReasonLoginTimeout: "login-timeout", ReasonSlow: "slow", ReasonDrain: "drain",
	ReasonCut: "cut", ReasonBadType: "bad-type", ReasonBadCommand: "bad-command",
	ReasonMalformed: "malformed", ReasonTooLong: "too-long",
	ReasonNotLoggedIn: "not-logged-in", ReasonSecondCred: "second-cred",
	ReasonImpatient: "impatient", ReasonFlood: "flood", ReasonPreface: "preface",
	ReasonKicked: "kicked", ReasonBanned: "banned",
}

var _ encoding.TextMarshaler = Reason(0)

func (r Reason) String() string {
	if int(r) < Reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// MarshalText gives the name, so that counters by reason read well as JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// TurnedAway says whether r means that a client was turned away because of its address
// or because there was no place for it. Unless its preface was read first, or the
// transport called TurnAway, it never had a slot.
func (r Reason) TurnedAway() bool {
	return r == ReasonFull || r == ReasonPending || r == ReasonAddress || r == ReasonBanned
}

// State is the state of a client.
type State uint8

const (
	StateAuth   State = iota // connected, not logged in
	StateGrant               // in the room
	StateDenied              // turned away
	StateError               // ended for any other reason
)

func (s State) String() string {
	return [...]string{"AUTH", "GRANT", "DENIED", "ERROR"}[s]
}
