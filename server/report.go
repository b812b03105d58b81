package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/server/admin"
	"chatbench/server/gate"
)

// listening is the first JSON line: the server is ready. It has the settings.
type listening struct {
	Event         string        `json:"event"`
	Backend       string        `json:"backend"`
	Addr          string        `json:"addr"`
	PID           int           `json:"pid"`
	Go            string        `json:"go"`
	GOMAXPROCS    int           `json:"gomaxprocs"`
	Hashers       int           `json:"hashers"` // threads that hash passwords
	NoFile        int           `json:"nofile"`
	SendBuffer    int           `json:"sndbuf"`
	Backlog       int           `json:"backlog"`
	MaxClients    int           `json:"max_clients"`
	MaxPending    int           `json:"max_pending"`
	MaxPerAddress int           `json:"max_per_address"`
	MaxFrame      int           `json:"max_frame"`
	LagLimit      int           `json:"lag_limit"`
	LagTime       time.Duration `json:"lag_time_ns"`
	LagMax        int           `json:"lag_max"`    // 0: 64 times lag_limit, at least 4 MiB
	FloodRate     float64       `json:"flood_rate"` // messages a second; 0: off
	FloodBurst    int           `json:"flood_burst"`
	Coalesce      string        `json:"coalesce,omitempty"` // auto or a time; absent: off
	Announce      bool          `json:"announce"`
	Open          bool          `json:"open"`
	TLS           string        `json:"tls,omitempty"`        // the oldest version that is allowed; absent: none
	Page          string        `json:"page,omitempty"`       // URL of the browser page
	ProxyFrom     int           `json:"proxy_from,omitempty"` // prefixes of trusted proxies
	History       int           `json:"history,omitempty"`    // lines
	Cluster       *clusterLine  `json:"cluster,omitempty"`    // absent: the room is only on this server
}

// clusterLine describes the room on several servers.
type clusterLine struct {
	Room     string        `json:"room"`
	Node     string        `json:"node"`          // the ID of this server
	Age      time.Duration `json:"stream_age_ns"` // how long the stream keeps messages; 0: for ever
	Octets   int64         `json:"stream_bytes"`
	Replicas int           `json:"replicas"`
}

func (s *Server) listening() listening {
	o := s.opts
	l := listening{
		Event: "listening", Backend: o.Backend.Name, Addr: s.Addr().String(), PID: os.Getpid(),
		Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0), NoFile: s.nofile,
		SendBuffer: o.SendBuffer, Backlog: o.Backlog,
		MaxClients: o.MaxClients, MaxPending: o.MaxPending, MaxPerAddress: o.MaxPerAddress,
		MaxFrame: o.MaxFrame, LagLimit: o.LagLimit, LagTime: o.LagTime, LagMax: o.LagMax,
		FloodRate: o.Flood.Rate, FloodBurst: o.Flood.Burst, Announce: o.Announce, Open: o.Open,
		Page: s.Page(), ProxyFrom: len(o.ProxyFrom), History: o.History,
	}
	if o.Coalesce != backends.CoalesceOff {
		l.Coalesce = o.Coalesce.String()
	}
	if o.tls() {
		l.TLS = tls.VersionName(o.TLSMin)
	}
	l.Hashers = s.gate.Stats().Hashers
	if s.cluster != nil {
		c := clusterLine{Room: o.Cluster.Room, Node: s.cluster.Node()}
		c.Age, c.Octets, c.Replicas = s.cluster.Limits()
		l.Cluster = &c
	}
	return l
}

// stopped is the second and last JSON line: the counters.
type stopped struct {
	Event    string               `json:"event"`
	Counters admin.TransportStats `json:"counters"`
	Room     roomStats            `json:"room"`
	Ends     core.Ends            `json:"ends"`
	Logins   gate.Stats           `json:"logins"` // with -open all are right, or banned
	Front    *frontStats          `json:"front,omitempty"`
	Page     *pageStats           `json:"page,omitempty"`
	NoTarget int64                `json:"no_target,omitempty"` // clients of front and page for which the connection to the transport failed
	GivenUp  string               `json:"given_up,omitempty"`  // parts that did not end in time, separated by commas
	Runtime  runtimeStats         `json:"runtime"`
	Error    string               `json:"error"`
}

// roomStats is the counters of the room, without Ends, which stopped has.
type roomStats struct {
	core.Stats
	Ends *struct{} `json:"ends,omitempty"`
}

// frontStats counts the connections of the front that never reached the transport, and so
// are in no other counter, by reason. Accepts counts all connections.
type frontStats struct {
	Accepts   int64 `json:"accepts"`
	BadHeader int64 `json:"bad_header"` // a PROXY header that is wrong, missing or late
	BadTLS    int64 `json:"bad_tls"`    // a handshake that failed
	TimedOut  int64 `json:"timed_out"`  // a handshake that took too long
	TooMany   int64 `json:"too_many"`   // too many handshakes
	Banned    int64 `json:"banned"`     // the address is banned
}

// pageStats is the same for browsers.
type pageStats struct {
	Opened  int64 `json:"opened"`   // WebSockets
	Refused int64 `json:"refused"`  // requests with a wrong origin or host, or not of a WebSocket
	TooMany int64 `json:"too_many"` // too many WebSockets, or too many other connections from an address
	Banned  int64 `json:"banned"`   // requests from a banned address
}

// count adds the counters of the listeners to the line.
func (l *listeners) count(line *stopped) {
	if l.front != nil {
		c := &l.front.Counters
		line.Front = &frontStats{
			Accepts: c.Accepts.Load(), BadHeader: c.BadHeader.Load(), BadTLS: c.BadTLS.Load(),
			TimedOut: c.TimedOut.Load(), TooMany: c.TooMany.Load(), Banned: c.Banned.Load(),
		}
	}
	if l.web != nil {
		c := &l.web.Counters
		line.Page = &pageStats{Opened: c.Opened.Load(), Refused: c.Refused.Load(), TooMany: c.TooMany.Load(), Banned: c.Banned.Load()}
	}
	if l.carrier != nil {
		line.NoTarget = l.carrier.NoTarget.Load()
	}
}

// runtimeStats is the statistics of the Go runtime before the drain.
type runtimeStats struct {
	GCCycles      uint32 `json:"gc_cycles"`
	GCPauseNS     uint64 `json:"gc_pause_total_ns"`
	HeapBytes     uint64 `json:"heap_bytes"`
	Goroutines    int    `json:"goroutines"`
	GoroutinesMax int    `json:"goroutines_max"` // the peak that the ticker has seen
	Threads       uint64 `json:"threads"`
}

func readRuntime() runtimeStats {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	threads := []metrics.Sample{{Name: "/sched/threads/total:threads"}}
	metrics.Read(threads)
	r := runtimeStats{GCCycles: m.NumGC, GCPauseNS: m.PauseTotalNs, HeapBytes: m.HeapAlloc, Goroutines: runtime.NumGoroutine()}
	if threads[0].Value.Kind() == metrics.KindUint64 {
		r.Threads = threads[0].Value.Uint64()
	}
	return r
}

// stoppedLine makes the last line. Call it after Stop has returned.
func (s *Server) stoppedLine(r runtimeStats, failed error) stopped {
	st := s.room.Snapshot()
	r.GoroutinesMax = max(s.peakGoroutines, r.Goroutines)
	line := stopped{
		Event: "stopped", Counters: admin.ReadTransport(&s.counters), Room: roomStats{Stats: st}, Ends: st.Ends,
		Logins: s.gate.Stats(), GivenUp: strings.Join(s.givenUp, ", "), Runtime: r,
	}
	s.listeners.count(&line)
	if failed != nil {
		line.Error = failed.Error()
	}
	return line
}

// printLine prints a JSON line.
func printLine(w io.Writer, line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		panic("server: " + err.Error()) // nothing in the lines can fail
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("server: standard output: %w", err)
	}
	return nil
}
