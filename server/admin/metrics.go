package admin

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/server/cluster"
)

// NewRegistry makes a registry of the metrics of the server, the Go runtime and the
// process. Their names are chatd_…, go_… and process_…, with the unit at the end, and
// _total after it for counters.
func NewRegistry(s Sources) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		newCollector(s),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// value is a sample of a metric, and the value of its label, if it has one.
type value struct {
	v     float64
	label string
}

// metric is a metric and how it is read. read returns nothing if the server does not have it.
type metric struct {
	kind     prometheus.ValueType
	name     string // without chatd_
	label    string // "": none
	help     string
	read     func(*reading) []value
	describe *prometheus.Desc
}

// number is a metric without a label.
func number[N int | int64 | uint64](kind prometheus.ValueType, name, help string, read func(*reading) N) metric {
	return metric{kind: kind, name: name, help: help, read: func(r *reading) []value { return []value{{v: float64(read(r))}} }}
}

// labelled is a metric with a label, or one that some servers do not have.
func labelled(kind prometheus.ValueType, name, label, help string, read func(*reading) []value) metric {
	return metric{kind: kind, name: name, label: label, help: help, read: read}
}

// roomMetrics is the metrics of the core.
func roomMetrics() []metric {
	return []metric{
		labelled(gauge, "clients", "state", "Clients that have a slot, by state.", func(r *reading) []value {
			st := r.Room
			return []value{{float64(st.Pending), "pending"}, {float64(st.Granted), "in_room"}, {float64(st.Clients - st.Pending - st.Granted), "ending"}}
		}),
		number(gauge, "clients_limit", "Slots for clients.", func(r *reading) int { return r.MaxClients }),
		number(counter, "granted_logins_total", "Logins that were granted.", func(r *reading) uint64 { return r.Room.Logins }),
		number(counter, "messages_total", "Messages of clients that were said to the room.", func(r *reading) uint64 { return r.Room.Messages }),
		number(counter, "relayed_frames_total", "File frames that were relayed from client to client.", func(r *reading) uint64 { return r.Room.Relayed }),
		number(counter, "log_bytes_total", "Octets that were appended to the broadcast log: its position.", func(r *reading) uint64 { return r.Room.Said }),
		number(gauge, "log_chunks", "Chunks of the broadcast log that are kept, 1 MiB each.", func(r *reading) int { return r.Backlog.Chunks }),
		number(gauge, "slowest_lag_bytes", "Octets of the broadcast log that are not written yet to the client farthest behind.", func(r *reading) uint64 { return r.Backlog.Slowest }),
		number(gauge, "refusing_clients", "Clients that took less than they were offered when they were last checked.", func(r *reading) int { return r.Backlog.Refusing }),
		number(gauge, "waiting_input_clients", "Clients in the room whose input waits.", func(r *reading) int { return r.Backlog.Waiting }),
		number(counter, "flood_waits_total", "How often the input of a client had to wait for flood control.", func(r *reading) uint64 { return r.Room.FloodWaits }),
		number(counter, "queue_waits_total", "How often the input of a client had to wait for a full queue of private frames.", func(r *reading) uint64 { return r.Room.QueueWaits }),
		labelled(counter, "ends_total", "reason", "Connections that have ended, by reason.", func(r *reading) (all []value) {
			for reason, n := range r.Room.Ends {
				all = append(all, value{float64(n), core.Reason(reason).String()})
			}
			return all
		}),
	}
}

// gateMetrics is the metrics of logins.
func gateMetrics() []metric {
	return []metric{
		labelled(counter, "logins_total", "outcome", "Logins that were decided, by outcome.", func(r *reading) []value {
			l := r.Logins
			return []value{
				{float64(l.Right), "right"}, {float64(l.Wrong), "wrong"}, {float64(l.Throttled), "throttled"}, {float64(l.Banned), "banned"},
				{float64(l.Busy), "busy"}, {float64(l.Crowded), "crowded"}, {float64(l.Abandoned), "abandoned"},
			}
		}),
		number(gauge, "hash_queue_logins", "Logins that wait for a thread to hash their password.", func(r *reading) int { return r.Logins.Queued }),
		number(gauge, "hash_threads", "Threads that hash passwords.", func(r *reading) int { return r.Logins.Hashers }),
		number(gauge, "users", "Users in the users file.", func(r *reading) int { return r.Logins.Users }),
		number(gauge, "bans", "Bans of names and networks.", func(r *reading) int { return r.Bans }),
		number(counter, "log_lines_left_out_total", "Lines of the access log that were not written, because the log is read too slowly.", func(r *reading) uint64 { return r.LeftOut }),
		number(gauge, "draining", "1 while the server drains.", func(r *reading) int {
			if r.Draining {
				return 1
			}
			return 0
		}),
		labelled(gauge, "info", "backend", "Always 1, with the transport as a label.", func(r *reading) []value { return []value{{1, r.Backend}} }),
	}
}

// transportMetrics is the metrics of the transport.
func transportMetrics() []metric {
	return []metric{
		number(counter, "accepts_total", "Connections that the transport accepted.", func(r *reading) int64 { return r.Transport.Accepts }),
		number(counter, "accept_errors_total", "Connections that the transport could not accept.", func(r *reading) int64 { return r.Transport.AcceptErrors }),
		number(counter, "no_descriptors_total", "Connections that the transport turned away for lack of descriptors, threads or processes.", func(r *reading) int64 { return r.Transport.NoDescriptors }),
		number(counter, "reads_total", "Reads that brought octets.", func(r *reading) int64 { return r.Transport.Reads }),
		number(counter, "received_bytes_total", "Octets from clients.", func(r *reading) int64 { return r.Transport.BytesIn }),
		number(counter, "writes_total", "Writes of which the kernel took octets.", func(r *reading) int64 { return r.Transport.Writes }),
		number(counter, "sent_bytes_total", "Octets that the kernel took for clients.", func(r *reading) int64 { return r.Transport.BytesOut }),
		number(counter, "stalls_total", "Writes of which the kernel took less than it was offered.", func(r *reading) int64 { return r.Transport.Stalls }),
	}
}

// frontMetrics is the metrics of the front and the browser client, if there are any.
func frontMetrics() []metric {
	return []metric{
		labelled(counter, "front_accepts_total", "", "Connections that the front accepted: with TLS, or on a socket that systemd passed.", func(r *reading) []value {
			return optional(r.Front, func(t *frontStats) []value { return []value{{v: float64(t.Accepts)}} })
		}),
		labelled(gauge, "front_handshakes", "", "TLS handshakes under way.", func(r *reading) []value {
			return optional(r.Front, func(t *frontStats) []value { return []value{{v: float64(t.Handshakes)}} })
		}),
		labelled(counter, "front_failures_total", "why", "Connections that the front accepted and that never reached the transport.", func(r *reading) []value {
			return optional(r.Front, func(t *frontStats) []value {
				return []value{{float64(t.BadHeader), "header"}, {float64(t.BadTLS), "tls"}, {float64(t.TimedOut), "timeout"}, {float64(t.TooMany), "too_many"}, {float64(t.Banned), "banned"}}
			})
		}),
		labelled(gauge, "certificate_expiry_timestamp_seconds", "", "When the certificate in use expires, in Unix time.", func(r *reading) []value {
			if r.Expires == nil {
				return nil
			}
			return []value{{v: float64(r.Expires.Unix())}}
		}),
		labelled(gauge, "carried_connections", "", "Connections of the front and of WebSockets that are carried to the transport.", func(r *reading) []value {
			return optional(r.Carried, func(c *carrierStats) []value { return []value{{v: float64(c.Open)}} })
		}),
		labelled(counter, "carry_failures_total", "", "Clients for which the connection to the transport failed.", func(r *reading) []value {
			return optional(r.Carried, func(c *carrierStats) []value { return []value{{v: float64(c.NoTarget)}} })
		}),
		labelled(gauge, "websockets", "", "WebSockets that are open.", func(r *reading) []value {
			return optional(r.Web, func(w *webStats) []value { return []value{{v: float64(w.Open)}} })
		}),
		labelled(counter, "websockets_opened_total", "", "WebSockets that were opened.", func(r *reading) []value {
			return optional(r.Web, func(w *webStats) []value { return []value{{v: float64(w.Opened)}} })
		}),
		labelled(counter, "websocket_refusals_total", "why", "WebSockets that were refused.", func(r *reading) []value {
			return optional(r.Web, func(w *webStats) []value {
				return []value{{float64(w.Refused), "origin"}, {float64(w.TooMany), "too_many"}, {float64(w.Banned), "banned"}}
			})
		}),
	}
}

// clusterMetrics is the metrics of a room on several servers.
func clusterMetrics() []metric {
	of := func(kind prometheus.ValueType, name, help string, read func(*reading) float64) metric {
		return labelled(kind, name, "", help, func(r *reading) []value {
			return optional(r.Cluster, func(*cluster.Stats) []value { return []value{{v: read(r)}} })
		})
	}
	return []metric{
		of(gauge, "cluster_connected", "1 while the server is connected with the others of its room, 0 while it is cut off and denies logins.", func(r *reading) float64 {
			if r.Cluster.CutOff {
				return 0
			}
			return 1
		}),
		of(gauge, "cluster_stream_position", "Stream sequence of the last message that was delivered to this server.", func(r *reading) float64 { return float64(r.Cluster.Sequence) }),
		of(gauge, "cluster_undelivered_bytes", "Octets that clients of this server have said and the stream has not delivered yet.", func(r *reading) float64 { return float64(r.Cluster.Undelivered) }),
		of(gauge, "cluster_remote_clients", "Clients in the room on other servers.", func(r *reading) float64 { return float64(r.Cluster.Remote) }),
		of(counter, "cluster_waits_total", "How often the input of a client had to wait for the stream.", func(r *reading) float64 { return float64(r.Room.StreamWaits) }),
	}
}

// optional reads a part that a server may not have.
func optional[T any](part *T, read func(*T) []value) []value {
	if part == nil {
		return nil
	}
	return read(part)
}

// collector reads the sources once for each scrape.
type collector struct {
	sources Sources
	metrics []metric
	// The histograms.
	turns, deliveries *prometheus.Desc
}

func newCollector(s Sources) *collector {
	c := &collector{sources: s, turns: prometheus.NewDesc("chatd_turn_duration_seconds",
		"How long the turns of the transport's loops took, from when something was ready to when the loop waits again; absent if it has none, or does not tell.", nil, nil), deliveries: prometheus.NewDesc("chatd_cluster_delivery_duration_seconds",
		"How long messages of this server took, each with the frames of many clients, from when they were first published to the stream to when it delivered them here.", nil, nil)}
	for _, group := range [][]metric{roomMetrics(), gateMetrics(), transportMetrics(), frontMetrics(), clusterMetrics()} {
		c.metrics = append(c.metrics, group...)
	}
	for i := range c.metrics {
		m := &c.metrics[i]
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		var fixed prometheus.Labels
		if m.name == "info" {
			fixed = prometheus.Labels{"go": runtime.Version()}
		}
		m.describe = prometheus.NewDesc("chatd_"+m.name, m.help, labels, fixed)
	}
	return c
}

// Describe is for prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.describe
	}
	to <- c.turns
	to <- c.deliveries
}

// Collect is for prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	r := c.sources.read()
	for _, m := range c.metrics {
		for _, v := range m.read(r) {
			var labels []string
			if m.label != "" {
				labels = []string{v.label}
			}
			to <- prometheus.MustNewConstMetric(m.describe, m.kind, v.v, labels...)
		}
	}
	if t := r.turns; t.Count > 0 {
		to <- histogram(c.turns, t.Count, t.Sum, backends.TurnBounds[:], t.Within[:])
	}
	if r.Cluster != nil {
		t := r.Cluster.Latency
		to <- histogram(c.deliveries, t.Count, t.Sum, cluster.LatencyBounds[:], t.Within[:])
	}
}

// histogram is a histogram of durations, from cumulative counts for each bound.
func histogram(desc *prometheus.Desc, count uint64, sum time.Duration, bounds []time.Duration, within []uint64) prometheus.Metric {
	buckets := make(map[float64]uint64)
	for i, bound := range bounds {
		buckets[bound.Seconds()] = within[i]
	}
	return prometheus.MustNewConstHistogram(desc, count, sum.Seconds(), buckets)
}
