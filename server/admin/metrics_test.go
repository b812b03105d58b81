package admin

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"chatbench/backends"
	"chatbench/core"
)

// families is what a registry gives, by name.
func families(t *testing.T, r *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	by := make(map[string]*dto.MetricFamily)
	for _, f := range all {
		by[f.GetName()] = f
	}
	return by
}

// Names follow Prometheus's rules, and each value is the one that was counted.
func TestMetrics(t *testing.T) {
	all := families(t, NewRegistry(fakeSources(new(atomic.Bool))))
	problems, err := promlint.NewWithMetricFamilies(slices.Collect(maps.Values(all))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "chatd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for name, want := range map[string]float64{
		"chatd_clients in_room": 1, "chatd_clients pending": 0, "chatd_clients_limit ": 100, "chatd_messages_total ": 1, "chatd_granted_logins_total ": 1,
		"chatd_log_chunks ": 1, "chatd_log_bytes_total ": 12, "chatd_slowest_lag_bytes ": 12, "chatd_logins_total right": 3, "chatd_logins_total wrong": 2,
		"chatd_hash_queue_logins ": 4, "chatd_hash_threads ": 1, "chatd_users ": 5, "chatd_bans ": 6, "chatd_log_lines_left_out_total ": 7,
		"chatd_accepts_total ": 11, "chatd_sent_bytes_total ": 5 << 20, "chatd_front_handshakes ": 0, "chatd_certificate_expiry_timestamp_seconds ": 2e9,
		"chatd_websockets ": 0, "chatd_info fake": 1, "chatd_draining ": 0,
		"chatd_cluster_connected ": 1, "chatd_cluster_stream_position ": 42, "chatd_cluster_undelivered_bytes ": 17,
		"chatd_cluster_remote_clients ": 3, "chatd_cluster_waits_total ": 0,
	} {
		name, label, _ := strings.Cut(name, " ")
		got, found := sample(all[name], label)
		if !found || got != want {
			t.Errorf("%s %s is %v (there: %v), want %v", name, label, got, found, want)
		}
	}
	turns := all["chatd_turn_duration_seconds"].GetMetric()[0].GetHistogram()
	if turns.GetSampleCount() != 3 || len(turns.GetBucket()) != len(backends.TurnBounds) || turns.GetBucket()[0].GetUpperBound() != 100e-6 ||
		turns.GetBucket()[len(backends.TurnBounds)-1].GetCumulativeCount() != 3 {
		t.Errorf("the turns are %v", turns)
	}
	if took := all["chatd_cluster_delivery_duration_seconds"].GetMetric()[0].GetHistogram(); took.GetSampleCount() != 2 || took.GetSampleSum() != 0.03 ||
		took.GetBucket()[3].GetUpperBound() != 0.01 || took.GetBucket()[3].GetCumulativeCount() != 0 || took.GetBucket()[4].GetCumulativeCount() != 2 {
		t.Errorf("deliveries took %v", took)
	}
	if n := len(all["chatd_ends_total"].GetMetric()); n != core.Reasons {
		t.Errorf("ends by %d reasons, there are %d", n, core.Reasons)
	}
	if all["go_goroutines"] == nil || all["process_resident_memory_bytes"] == nil {
		t.Error("nothing of the runtime or the process")
	}
}

// sample is the value of a metric with a label of that value, or without one.
func sample(f *dto.MetricFamily, label string) (float64, bool) {
	for _, m := range f.GetMetric() {
		if label == "" || slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// A server without TLS and without the browser page, one whose transport has no
// loop, and one that has its room alone, has no metrics of them.
func TestMetricsOfLess(t *testing.T) {
	s := fakeSources(new(atomic.Bool))
	s.Front, s.Carrier, s.Certificate, s.Web, s.Cluster, s.Transport = nil, nil, nil, nil, nil, new(backends.Counters)
	for name := range families(t, NewRegistry(s)) {
		if strings.Contains(name, "front") || strings.Contains(name, "turn") || strings.Contains(name, "web") || strings.Contains(name, "carr") || strings.Contains(name, "certificate") || strings.Contains(name, "cluster") {
			t.Errorf("there is %s", name)
		}
	}
}

var (
	metricName = regexp.MustCompile(`\b(chatd|go|process)_[a-z0-9_]+`)
	matcher    = regexp.MustCompile(`\b(chatd_[a-z0-9_]+)\{([^}]*)\}`)
	labelValue = regexp.MustCompile(`([a-z_]+)(=~?|!=)"([^"]*)"`)
)

// The dashboard and the alerts of deploy/ use metrics, and values of labels, that
// there are.
func TestDeployUsesMetricsThatExist(t *testing.T) {
	all := families(t, NewRegistry(fakeSources(new(atomic.Bool))))
	for _, path := range []string{"alerts.yml", "dashboard.json"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "deploy", path))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), `\"`, `"`)
		names := metricName.FindAllString(text, -1)
		if len(names) < 8 {
			t.Errorf("%s uses %d metrics", path, len(names))
		}
		for _, name := range names {
			if all[name] == nil && !isPartOfHistogram(all, name) {
				t.Errorf("%s uses %s, which there is not", path, name)
			}
		}
		for _, use := range matcher.FindAllStringSubmatch(text, -1) {
			for _, l := range labelValue.FindAllStringSubmatch(use[2], -1) {
				for _, value := range strings.Split(l[3], "|") {
					if !hasLabel(all[use[1]], l[1], value) && l[1] != "job" && l[1] != "instance" {
						t.Errorf("%s asks %s for %s %s, which it never has", path, use[1], l[1], value)
					}
				}
			}
		}
	}
}

// isPartOfHistogram says whether a name is that of a series of a histogram.
func isPartOfHistogram(all map[string]*dto.MetricFamily, name string) bool {
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if of, found := strings.CutSuffix(name, part); found {
			return all[of].GetType() == dto.MetricType_HISTOGRAM
		}
	}
	return false
}

func hasLabel(f *dto.MetricFamily, name, value string) bool {
	return slices.ContainsFunc(f.GetMetric(), func(m *dto.Metric) bool {
		return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value })
	})
}
