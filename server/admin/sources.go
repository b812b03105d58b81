package admin

import (
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/server/cluster"
	"chatbench/server/front"
	"chatbench/server/gate"
	"chatbench/server/web"
)

// Sources is the parts of a server that are read. Room, Transport, Gate, Lines and Draining
// are required. Others are nil if the server does not have them; then they have no metrics.
type Sources struct {
	Backend    string
	MaxClients int
	Room       interface {
		Snapshot() core.Stats
		Backlog() core.Backlog
	}
	Transport *backends.Counters
	Gate      interface{ Stats() gate.Stats }
	Lines     interface{ LeftOut() uint64 } // the access log
	Draining  func() bool

	Front       *front.Counters
	Carrier     *front.Carrier
	Certificate interface{ Expires() time.Time }
	Web         *web.Counters
	Cluster     interface{ Stats() cluster.Stats }
}

// reading is the values of all sources at one moment, as /live sends it.
type reading struct {
	At         time.Time      `json:"at"`
	Backend    string         `json:"backend"`
	MaxClients int            `json:"max_clients"`
	Draining   bool           `json:"draining"`
	Room       core.Stats     `json:"room"`
	Backlog    core.Backlog   `json:"backlog"`
	Logins     gate.Stats     `json:"logins"`
	Queued     int            `json:"hash_queue"`
	Bans       int            `json:"bans"`
	LeftOut    uint64         `json:"log_lines_left_out"`
	Transport  TransportStats `json:"transport"`
	Front      *frontStats    `json:"front,omitempty"`
	Carried    *carrierStats  `json:"carried,omitempty"`
	Web        *webStats      `json:"web,omitempty"`
	Expires    *time.Time     `json:"certificate_expires,omitempty"`

	Cluster *cluster.Stats `json:"cluster,omitempty"`

	turns backends.TurnTimes
}

// TransportStats is the values of backends.Counters, for JSON.
type TransportStats struct {
	Accepts       int64 `json:"accepts"`
	AcceptErrors  int64 `json:"accept_errors"`
	NoDescriptors int64 `json:"no_descriptors"`
	Reads         int64 `json:"reads"`
	BytesIn       int64 `json:"bytes_in"`
	Writes        int64 `json:"writes"`
	BytesOut      int64 `json:"bytes_out"`
	Stalls        int64 `json:"stalls"`
}

// ReadTransport returns the current values of the counters.
func ReadTransport(c *backends.Counters) TransportStats {
	return TransportStats{
		Accepts: c.Accepts.Load(), AcceptErrors: c.AcceptErrors.Load(), NoDescriptors: c.NoDescriptors.Load(),
		Reads: c.Reads.Load(), BytesIn: c.BytesIn.Load(),
		Writes: c.Writes.Load(), BytesOut: c.BytesOut.Load(), Stalls: c.Stalls.Load(),
	}
}

// frontStats is the counters of the front.
type frontStats struct {
	Accepts    int64 `json:"accepts"`
	Handshakes int64 `json:"handshakes"` // running now
	BadHeader  int64 `json:"bad_header"`
	BadTLS     int64 `json:"bad_tls"`
	TimedOut   int64 `json:"timed_out"`
	TooMany    int64 `json:"too_many"`
	Banned     int64 `json:"banned"`
}

type carrierStats struct {
	Open     int64 `json:"open"`
	NoTarget int64 `json:"no_target"`
}

type webStats struct {
	Open    int64 `json:"open"`
	Opened  int64 `json:"opened"`
	Refused int64 `json:"refused"`
	TooMany int64 `json:"too_many"`
	Banned  int64 `json:"banned"`
}

// read reads all sources.
func (s *Sources) read() *reading {
	r := &reading{
		At: time.Now(), Backend: s.Backend, MaxClients: s.MaxClients, Draining: s.Draining(),
		Room: s.Room.Snapshot(), Backlog: s.Room.Backlog(), Logins: s.Gate.Stats(), LeftOut: s.Lines.LeftOut(),
		Transport: ReadTransport(s.Transport), turns: s.Transport.Turns(),
	}
	r.Queued, r.Bans = r.Logins.Queued, r.Logins.Bans
	if c := s.Front; c != nil {
		r.Front = &frontStats{
			Accepts: c.Accepts.Load(), Handshakes: c.Handshakes.Load(), BadHeader: c.BadHeader.Load(),
			BadTLS: c.BadTLS.Load(), TimedOut: c.TimedOut.Load(), TooMany: c.TooMany.Load(), Banned: c.Banned.Load(),
		}
	}
	if c := s.Carrier; c != nil {
		r.Carried = &carrierStats{c.Open.Load(), c.NoTarget.Load()}
	}
	if c := s.Web; c != nil {
		r.Web = &webStats{c.Open.Load(), c.Opened.Load(), c.Refused.Load(), c.TooMany.Load(), c.Banned.Load()}
	}
	if s.Cluster != nil {
		joined := s.Cluster.Stats()
		r.Cluster = &joined
	}
	if s.Certificate != nil {
		expires := s.Certificate.Expires()
		r.Expires = &expires
	}
	return r
}
