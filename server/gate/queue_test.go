package gate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// queueTest adds jobs to a queue and records their results, by name.
type queueTest struct {
	q    *queue
	gone map[string]bool
	got  map[string]error // results so far
}

func newQueueTest(most int) *queueTest {
	return &queueTest{q: newQueue(most), gone: make(map[string]bool), got: make(map[string]error)}
}

func (c *queueTest) add(addr, name string) error {
	j := job{
		from: newAttempt(netip.MustParseAddr(addr), "").from,
		gone: func() bool { return c.gone[name] },
		work: func() error { return errors.New(name) },
		done: func(err error) { c.got[name] = err },
	}
	out, err := c.q.add(j)
	for _, o := range out {
		o.job.done(o.err)
	}
	return err
}

// order returns the names in the order of their turns.
func (c *queueTest) order() (names []string) {
	for j, ok := c.q.next(); ok; j, ok = c.q.next() {
		names = append(names, j.work().Error())
	}
	return names
}

// Addresses take turns: one that floods does not delay another.
func TestQueueTakesTurns(t *testing.T) {
	c := newQueueTest(100)
	for _, j := range []struct{ addr, name string }{
		{"192.0.2.1", "a1"}, {"192.0.2.1", "a2"}, {"192.0.2.1", "a3"}, {"192.0.2.1", "a4"},
		{"192.0.2.2", "b1"}, {"2001:db8::1", "c1"}, {"2001:db8::2", "c2"}, {"192.0.2.2", "b2"},
	} {
		if err := c.add(j.addr, j.name); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.order(), []string{"a1", "b1", "c1", "a2", "b2", "c2", "a3", "a4"}; !slices.Equal(got, want) {
		t.Errorf("the turns are %q, want %q", got, want)
	}
	if len(c.q.addresses) != 0 || c.q.turns.Len() != 0 || c.q.n != 0 {
		t.Errorf("the empty queue has %d addresses, %d turns, %d jobs", len(c.q.addresses), c.q.turns.Len(), c.q.n)
	}
}

// A single address may fill the queue. New logins from other addresses push out the newest logins
// of the address with the most, down to its share.
func TestQueuePushesOut(t *testing.T) {
	const most = 8
	c := newQueueTest(most)
	for i := range most {
		if err := c.add("192.0.2.1", fmt.Sprint("a", i)); err != nil {
			t.Fatalf("login %d of %d: %v", i, most, err)
		}
	}
	if err := c.add("192.0.2.1", "a8"); err != errBusy {
		t.Errorf("over the bound: %v, want %v", err, errBusy)
	}
	for i := range 4 {
		if err := c.add("192.0.2.2", fmt.Sprint("b", i)); err != nil {
			t.Errorf("login %d of another address: %v", i, err)
		}
		if name := fmt.Sprint("a", most-1-i); c.got[name] != errBusy {
			t.Errorf("%s, the newest of the address with the most, got %v, want %v", name, c.got[name], errBusy)
		}
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		if err := c.add(addr, "more"); err != errCrowded {
			t.Errorf("over half of the queue while others wait: %v, want %v", err, errCrowded)
		}
	}
	if len(c.got) != 4 {
		t.Errorf("%d logins pushed out, want 4", len(c.got))
	}
	if got, want := c.order(), []string{"a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"}; !slices.Equal(got, want) {
		t.Errorf("the turns are %q, want %q", got, want)
	}
}

// Addresses with one login each do not push out each other.
func TestQueueOfManyAddresses(t *testing.T) {
	c := newQueueTest(8)
	for i := range 20 {
		err := c.add(fmt.Sprint("192.0.2.", i), fmt.Sprint(i))
		if want := map[bool]error{true: errBusy}[i >= 8]; err != want {
			t.Errorf("address %d: %v, want %v", i, err, want)
		}
	}
	if len(c.got) != 0 {
		t.Errorf("pushed out: %v", c.got)
	}
}

// A queue that is full of logins whose clients have gone has room.
func TestQueueSweep(t *testing.T) {
	const most = 16
	c := newQueueTest(most)
	for i := range most {
		c.add("192.0.2.1", fmt.Sprint(i))
		c.gone[fmt.Sprint(i)] = i != 3
	}
	for i := range most - 1 {
		if err := c.add("192.0.2.1", fmt.Sprint("new", i)); err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
	}
	if len(c.got) != most-1 || c.got["0"] != errAbandoned {
		t.Errorf("%d logins were taken out, the first with %v", len(c.got), c.got["0"])
	}
	// A search that finds nothing is not repeated at once, but later.
	refused := func() bool { return c.add("192.0.2.1", "late") != nil }
	for range 2 {
		if !refused() {
			t.Fatal("a full queue accepts one more")
		}
	}
	c.gone["3"] = true
	for i := 0; refused(); i++ {
		if i > most {
			t.Fatal("the queue was never searched again")
		}
	}
	if c.got["3"] != errAbandoned {
		t.Errorf("one that went later got %v", c.got["3"])
	}
}

// Whatever is added and removed, the queue stays within its bound and its counts are right.
func TestQueueCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := newQueueTest(1 + random.IntN(20))
		in, refused, taken := 0, 0, 0
		for i := range 300 {
			name := fmt.Sprint(i)
			switch random.IntN(4) {
			case 0:
				if _, ok := c.q.next(); ok {
					taken++
				}
			case 1:
				c.gone[fmt.Sprint(random.IntN(i+1))] = true
			default:
				in++
				if c.add(fmt.Sprint("192.0.2.", random.IntN(1+random.IntN(12))), name) != nil {
					refused++
				}
			}
			jobs := 0
			for _, e := range c.q.addresses {
				jobs += len(e.Value.(*addressQueue).jobs)
			}
			if c.q.n != jobs || jobs != in-refused-taken-len(c.got) || jobs > c.q.most || len(c.q.addresses) != c.q.turns.Len() {
				t.Fatalf("%d of at most %d jobs in %d addresses and %d turns; the queue counts %d", jobs, c.q.most, len(c.q.addresses), c.q.turns.Len(), c.q.n)
			}
		}
	}
}
