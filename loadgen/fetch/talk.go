package fetch

import (
	"strconv"
	"sync"
	"time"

	"chatbench/client"
	"chatbench/core/units"
	"chatbench/loadgen/hist"
)

// timeout is how long the last messages may take to come back.
const timeout = 30 * time.Second

// Chat is the latency of the two clients' messages: from when one was due until its sender got
// it back from the server.
type Chat struct {
	Rate float64 `json:"rate"`
	Said int     `json:"said"`
	Lost int     `json:"lost"`
	hist.Summary
	Histogram *hist.Histogram `json:"histogram"` // of the messages during transfers
}

// talk has both clients talk, in turn and in open loop: latency counts from when a message is due.
type talk struct {
	rate      units.Rate
	stop      chan struct{}
	talking   sync.WaitGroup
	receiving sync.WaitGroup

	mu        sync.Mutex
	timed     bool // messages count, because a transfer is under way
	said      []sentMessage
	echoed    int
	latencies *hist.Histogram
}

// sentMessage is a message: when it was due, whether it counts, and whether it has come back.
type sentMessage struct {
	due           time.Time
	timed, echoed bool
}

func startTalk(p *pair, rate units.Rate) *talk {
	t := &talk{rate: rate, stop: make(chan struct{}), latencies: hist.New()}
	for _, c := range p.clients {
		t.receiving.Go(func() { t.receive(c) })
	}
	t.talking.Go(func() { t.talk(p.clients) })
	return t
}

// timing says whether messages count from now on.
func (t *talk) timing(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timed = on
}

func (t *talk) talk(clients [2]*client.Client) {
	base, wait := time.Now(), time.NewTimer(0)
	for i := 0; ; i++ {
		due := base.Add(time.Duration(float64(i) / float64(t.rate) * float64(time.Second)))
		wait.Reset(time.Until(due))
		select {
		case <-t.stop:
			return
		case <-wait.C:
		}
		t.mu.Lock()
		t.said = append(t.said, sentMessage{due: due, timed: t.timed})
		t.mu.Unlock()
		if clients[i%2].Say(strconv.Itoa(i)) != nil {
			return // the client is gone; its messages are lost
		}
	}
}

// receive handles what a client receives, to the end of its conversation.
func (t *talk) receive(c *client.Client) {
	for e := range c.Events() {
		if s, is := e.(client.Said); is && s.From == c.Name() {
			t.received(s.Text, time.Now())
		}
	}
}

func (t *talk) received(text string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i >= len(t.said) || t.said[i].echoed {
		return
	}
	m := &t.said[i]
	m.echoed = true
	t.echoed++
	if m.timed {
		t.latencies.Record(int64(now.Sub(m.due)), 1)
	}
}

func (t *talk) pending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.echoed < len(t.said)
}

// end stops talking and waits for the messages under way. The clients leave afterwards.
func (t *talk) end() Chat {
	close(t.stop)
	t.talking.Wait()
	ended := make(chan struct{})
	go func() { t.receiving.Wait(); close(ended) }()
	late := time.After(timeout)
	for t.pending() {
		select {
		case <-late:
		case <-ended:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Chat{Rate: float64(t.rate), Said: len(t.said), Lost: len(t.said) - t.echoed, Summary: t.latencies.Summary(), Histogram: t.latencies}
}
