package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// sabotage damages one in about 10^5 deliveries, and at least one.
type sabotage struct {
	random *rand.Rand
	damage string // drop, duplicate, swap, alter
	p      float64
	done   uint64 // how often
}

// stream is the stream of one client, or of the room, with damage.
func (s *sabotage) stream(p *play, atLeastOnce bool) (stream []byte) {
	at := -1
	if atLeastOnce {
		at = s.random.IntN(len(p.order) - 2)
	}
	for i := 0; i < len(p.order); i++ {
		f := p.frame(p.order[i])
		if i != at && s.random.Float64() >= s.p || i == len(p.order)-1 {
			stream = append(stream, f...)
			continue
		}
		s.done++
		switch s.damage {
		case "drop":
		case "duplicate":
			stream = append(append(stream, f...), f...)
		case "swap": // with the sender's next, or the last if there is none
			j := i + 1
			for j < len(p.order)-1 && p.order[j].sender != p.order[i].sender {
				j++
			}
			if p.order[j].sender != p.order[i].sender {
				s.done--
				stream = append(stream, f...)
				continue
			}
			stream = append(stream, p.frame(p.order[j])...)
			for k := i + 1; k < j; k++ {
				stream = append(stream, p.frame(p.order[k])...)
			}
			stream = append(stream, f...)
			i = j
		case "alter":
			f[s.random.IntN(len(f))] ^= byte(1 + s.random.IntN(255))
			stream = append(stream, f...)
		}
	}
	return stream
}

func (s *sabotage) want(n uint64) (t Tally) {
	switch s.damage {
	case "drop":
		t.Lost = n
	case "duplicate":
		t.Duplicated = n
	case "swap":
		t.Reordered = n
	case "alter":
		t.Altered = n
	}
	return t
}

// Every single damage is found and classified correctly, whether it affects one client
// or all, whoever leads, and however the octets are split.
func TestSabotageIsCaught(t *testing.T) {
	const clients, messages = 20, 5000
	for _, damage := range []string{"drop", "duplicate", "swap", "alter"} {
		for seed := range uint64(4) {
			for _, all := range []bool{false, true} {
				t.Run(fmt.Sprint(damage, "/all=", all, "/", seed), func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, 9))
					p := newPlay(random, clients, 4, messages, int(seed%2)*4096)
					s := &sabotage{random: random, damage: damage, p: 1e-5}
					victim := random.IntN(clients)
					common := s.stream(p, all)
					if !all {
						s.done = 0
					}
					for i := range p.streams {
						if p.streams[i] = common; !all {
							p.streams[i] = s.stream(p, i == victim)
						}
					}
					p.send()
					p.deliver(t, random)
					n := s.done
					if all {
						n *= clients
					}
					if got, want := p.book.Tally(), s.want(n); got != want || n == 0 {
						t.Errorf("%+v, want %+v", got, want)
					}
				})
			}
		}
	}
}

// Two neighbours of different senders swapped for one client: only the order
// of the room is wrong, and that is reported.
func TestOtherOrder(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 4))
		p := newPlay(random, 10, 4, 1000, 0)
		var honest []byte
		for _, m := range p.order {
			honest = append(honest, p.frame(m)...)
		}
		i := random.IntN(500)
		for p.order[i].sender == p.order[i+1].sender {
			i++
		}
		p.order[i], p.order[i+1] = p.order[i+1], p.order[i]
		var swapped []byte
		for _, m := range p.order {
			swapped = append(swapped, p.frame(m)...)
		}
		for c := range p.streams {
			p.streams[c] = honest
		}
		p.streams[random.IntN(10)] = swapped
		p.send()
		p.deliver(t, random)
		got := p.book.Tally()
		if got.OtherOrder == 0 {
			t.Fatalf("seed %d: not seen", seed)
		}
		// One differs from nine, or nine from the one that came first.
		if n := got.OtherOrder; n != 1 && n != 9 || got != (Tally{OtherOrder: n}) {
			t.Errorf("seed %d: %+v", seed, got)
		}
		if p.book.Missing() != 0 {
			t.Errorf("seed %d: %d missing", seed, p.book.Missing())
		}
	}
}

// A server that forgets the rest of a read, cuts a stream short or sends
// other frames is found too.
func TestOtherDamage(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(stream []byte, frame int) []byte
		want  Tally
	}{
		"half a frame missing": {func(s []byte, f int) []byte { return append(s[:3*f:3*f], s[3*f+f/2:]...) }, Tally{Altered: 1}},
		"cut short":            {func(s []byte, f int) []byte { return s[:len(s)-2*f-f/2] }, Tally{Lost: 3}},
		"ten in a row":         {func(s []byte, f int) []byte { return append(s[:3*f:3*f], s[13*f:]...) }, Tally{Lost: 10}},
		"three altered": {func(s []byte, f int) []byte {
			s = append([]byte(nil), s...)
			s[3*f+9]++
			s[4*f+9]++
			s[5*f+9]++
			return s
		}, Tally{Altered: 3}},
		"a stranger": {func(s []byte, f int) []byte {
			return append(s[:3*f:3*f], append([]byte("\x00eve: hi\x00"), s[3*f:]...)...)
		}, Tally{Altered: 1}},
		"noise at the end": {func(s []byte, f int) []byte { return append(s[:len(s):len(s)], "xyz"...) }, Tally{Altered: 1}},
		"played twice":     {func(s []byte, f int) []byte { return append(s[:len(s):len(s)], s[:5*f]...) }, Tally{Duplicated: 5}},
		"late":             {func(s []byte, f int) []byte { return append(s[5*f:len(s):len(s)], s[:5*f]...) }, Tally{Reordered: 5}},
	} {
		for seed := range uint64(5) {
			random := rand.New(rand.NewPCG(seed, 5))
			p := newPlay(random, 4, 1, 50, 0)
			for i := range p.streams {
				for _, m := range p.order {
					p.streams[i] = append(p.streams[i], p.frame(m)...)
				}
			}
			p.streams[2] = c.spoil(p.streams[2], p.script.BroadcastLen())
			p.send()
			p.deliver(t, random)
			if got := p.book.Tally(); got != c.want {
				t.Errorf("%s, seed %d: %+v, want %+v", name, seed, got, c.want)
			}
		}
	}
}

// A message that has not been sent yet counts as altered, however correct its octets are.
func TestInventedMessage(t *testing.T) {
	for _, apart := range []bool{false, true} { // from the reference
		p := newPlay(rand.New(rand.NewPCG(1, 6)), 2, 1, 4, 0)
		p.order = p.order[:3]
		p.send()
		var stream []byte
		for i, m := range []sentMessage{{0, 0}, {0, 1}, {0, 2}, {0, 3}} {
			if apart && i == 1 {
				stream = append(stream, "\x00eve: hi\x00"...)
			}
			stream = append(stream, p.frame(m)...)
		}
		if _, err := p.book.Receive(0, stream, 1); err != nil {
			t.Fatal(err)
		}
		want := Tally{Altered: 1, Lost: 3} // the other client has had nothing
		if apart {
			want.Altered++
		}
		if got := p.book.Tally(); got != want {
			t.Errorf("apart %v: %+v, want %+v", apart, got, want)
		}
	}
}
