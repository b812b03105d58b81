package chaos

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"testing"
	"time"

	"chatbench/bench/stats"
)

const (
	soakClients = 100
	soakRate    = 20 // messages a second
	soakSamples = 240
	soakBlocks  = 24 // of samples, without the first tenth of the samples
	// steepest is the bound for the growth of memory with a steady load, in MiB an hour. The test
	// fails if the lower end of the confidence interval is above it.
	steepest = 1.0
)

// TestSoak samples memory, descriptors and goroutines under a steady load (make
// soak-server).
func TestSoak(t *testing.T) {
	if *soakTime > 0 {
		fmt.Print(heading)
	}
	for _, b := range chosen(t) {
		t.Run(b.Name, func(t *testing.T) { runExperiment(t, b, experiment{"soak", "", soak}, *soakTime > 0) })
	}
}

// sample is one sample of the server.
type sample struct{ memory, descriptors, goroutines float64 } // memory in MiB

func memory(s sample) float64 { return s.memory }

func soak(x *run) {
	long, clients := 2*time.Second, x.size.talkers
	if *soakTime > 0 {
		long, clients = *soakTime, soakClients
	}
	admin := "127.0.0.1:" + strconv.Itoa(x.freePort())
	s := x.serve("-open", "-admin", admin)
	x.doing("%d clients, %d messages/s, %v", clients, soakRate, long)
	f := x.fleet(s, clients, soakRate, 64)
	var samples []sample
	f.during(func() {
		for range soakSamples {
			x.pause(long / soakSamples)
			samples = append(samples, s.sample(admin))
		}
	})
	f.clean()
	settled := samples[soakSamples/10:]
	perHour, sure := slope(settled, long, memory)
	seen := fmt.Sprintf("%.2f MiB/h", perHour)
	if sure != (stats.Interval{}) {
		seen = fmt.Sprintf("%.2f MiB/h (95 %%: %.2f to %.2f)", perHour, sure.Low, sure.High)
	}
	x.see(figure{"memory grows by", seen, fmt.Sprintf("not surely over %g MiB/h", steepest), *soakTime == 0 || sure.Low <= steepest})
	first, last := settled[0], settled[len(settled)-1]
	x.below(fmt.Sprintf("descriptors (at first: %g)", first.descriptors), last.descriptors, first.descriptors, "")
	x.below(fmt.Sprintf("goroutines (at first: %g)", first.goroutines), last.goroutines, first.goroutines+2, "")
}

// sample takes a sample.
func (s *server) sample(admin string) (a sample) {
	s.x.Helper()
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		s.x.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		s.x.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if number, is := bytes.CutPrefix(line, []byte("go_goroutines ")); is {
			a.goroutines, _ = strconv.ParseFloat(string(bytes.TrimSpace(number)), 64)
		}
		if number, is := bytes.CutPrefix(line, []byte("process_open_fds ")); is {
			a.descriptors, _ = strconv.ParseFloat(string(bytes.TrimSpace(number)), 64)
		}
	}
	if a.goroutines == 0 || a.descriptors == 0 {
		s.x.Fatal("the metrics have no go_goroutines or no process_open_fds")
	}
	a.memory = float64(s.memory()) / (1 << 20)
	return a
}

// slope is by how much a figure grows in an hour, and the 95 % confidence interval of that,
// zero if there are too few samples. It averages consecutive samples in blocks, because they
// are correlated. It then compares each block of the second half with its counterpart in the
// first half (D. R. Cox and A. Stuart, "Some Quick Sign Tests for Trend in Location and
// Dispersion", Biometrika 42 (1955)), and applies a signed-rank test to the differences.
func slope(samples []sample, long time.Duration, of func(sample) float64) (perHour float64, sure stats.Interval) {
	blocks := make([]float64, soakBlocks)
	each := len(samples) / soakBlocks
	for i := range blocks {
		for _, s := range samples[i*each : (i+1)*each] {
			blocks[i] += of(s) / float64(each)
		}
	}
	const half = soakBlocks / 2
	hours := (long * half * time.Duration(each) / soakSamples).Hours()
	grown := make([]float64, half)
	for i := range grown {
		grown[i] = (blocks[half+i] - blocks[i]) / hours
	}
	sure, _ = stats.SignedRankInterval(grown, stats.Level)
	return stats.Center(grown), sure
}

// The slope of a straight line is found, and correlated noise is not taken for a slope.
func TestSlope(t *testing.T) {
	var rising, wavy []sample
	for i := range soakSamples {
		rising = append(rising, sample{memory: 3 * float64(i) / soakSamples})
		wavy = append(wavy, sample{memory: math.Sin(float64(i) / 5)})
	}
	if got, sure := slope(rising, time.Hour, memory); math.Abs(got-3) > 1e-9 || !sure.Covers(got) {
		t.Errorf("%v, %v, want 3 an hour", got, sure)
	}
	if got, sure := slope(wavy, time.Hour, memory); !sure.Covers(0) {
		t.Errorf("%v, %v for a sine wave, want an interval with 0", got, sure)
	}
}
