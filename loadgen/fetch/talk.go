package fetch

import (
	"strconv"
	"sync"
	"time"

	"chatbench/client"
	"chatbench/core/units"
	"chatbench/loadgen/hist"
)

// patience is how long the last messages may take to come back.
const patience = 5 * time.Second

// Chat is how the two clients' messages fared: from when one was due until its
// sender had it back from the server.
type Chat struct {
	Rate float64 `json:"rate"`
	Said int     `json:"said"`
	Lost int     `json:"lost"`
	hist.Summary
	Histogram *hist.Histogram `json:"histogram"` // of those said while files came
}

// talk is both clients talking, in turn and at a rate that nothing slows down:
// what is late counts as late.
type talk struct {
	rate    units.Rate
	stop    chan struct{}
	talking sync.WaitGroup
	hearing sync.WaitGroup

	mu    sync.Mutex
	timed bool // files come
	said  []said
	heard int
	came  *hist.Histogram
}

// said is a message: when it was due, whether it counts, whether it is back.
type said struct {
	due          time.Time
	timed, heard bool
}

func startTalk(p *pair, rate units.Rate) *talk {
	t := &talk{rate: rate, stop: make(chan struct{}), came: hist.New()}
	for _, c := range p.clients {
		t.hearing.Go(func() { t.hear(c) })
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
		t.said = append(t.said, said{due: due, timed: t.timed})
		t.mu.Unlock()
		if clients[i%2].Say(strconv.Itoa(i)) != nil {
			return // the client is gone; what it said is lost
		}
	}
}

// hear takes what a client receives, to the end of its conversation.
func (t *talk) hear(c *client.Client) {
	for e := range c.Events() {
		if s, is := e.(client.Said); is && s.From == c.Name() {
			t.back(s.Text, time.Now())
		}
	}
}

func (t *talk) back(text string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i >= len(t.said) || t.said[i].heard {
		return
	}
	m := &t.said[i]
	m.heard = true
	t.heard++
	if m.timed {
		t.came.Record(int64(now.Sub(m.due)), 1)
	}
}

func (t *talk) waiting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard < len(t.said)
}

// end stops talking and waits for what is under way. Clients leave afterwards.
func (t *talk) end() Chat {
	close(t.stop)
	t.talking.Wait()
	deaf := make(chan struct{})
	go func() { t.hearing.Wait(); close(deaf) }()
	late := time.After(patience)
	for t.waiting() {
		select {
		case <-late:
		case <-deaf:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Chat{Rate: float64(t.rate), Said: len(t.said), Lost: len(t.said) - t.heard, Summary: t.came.Summary(), Histogram: t.came}
}
