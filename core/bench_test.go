package core

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/core/wire"
)

// BenchmarkFeed measures one message of 64 octets: it is decoded, checked for control
// runes, and appended to the log. The parameter is the number of messages in one Feed. All
// clients keep up; writing the output, once in 4096 messages, is included.
func BenchmarkFeed(b *testing.B) {
	for _, batch := range []int{1, 16} {
		for _, clients := range []int{1, 1000} {
			b.Run(fmt.Sprintf("batch=%d/clients=%d", batch, clients), func(b *testing.B) {
				r := NewRoom(Config{Authenticator: OpenDoor{}, LagLimit: 1 << 30})
				all := crowd(b, r, clients, "user%d")
				in := bytes.Repeat(chat(64), batch)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					all[0].Feed(in)
					if i%4096 < batch {
						takeAll(all)
					}
				}
			})
		}
	}
}

// BenchmarkNext measures the flush of one of 1000 sessions: the work of the core for one
// write. The parameter is the number of messages in it. Saying them, once for all sessions,
// is included.
func BenchmarkNext(b *testing.B) {
	for _, messages := range []int{0, 1, 16} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			r := NewRoom(Config{Authenticator: OpenDoor{}, LagLimit: 1 << 30})
			all := crowd(b, r, 1000, "user%d")
			in := bytes.Repeat(chat(64), messages)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(all) {
				all[0].Feed(in)
				takeAll(all)
			}
		})
	}
}

// BenchmarkRelay measures one File frame from one client to another, which is written at
// once.
func BenchmarkRelay(b *testing.B) {
	r := NewRoom(Config{Authenticator: OpenDoor{}})
	all := crowd(b, r, 200, "user%d")
	frame := wire.AppendFile(nil, wire.LsBody, "user100", []byte(" a file.txt"))
	b.ReportAllocs()
	for b.Loop() {
		all[0].Feed(frame)
		takeAll(all[100:101])
	}
}

// BenchmarkTalkers measures messages of 64 octets, 60 in each Feed. The parameter is the
// number of talkers. Each has a goroutine of its own, which also writes the output of a
// listener.
func BenchmarkTalkers(b *testing.B) {
	const batch = 60
	in := bytes.Repeat(chat(64), batch)
	for _, talkers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("talkers=%d", talkers), func(b *testing.B) {
			r := NewRoom(Config{Authenticator: OpenDoor{}, LagLimit: 1 << 30})
			all := crowd(b, r, talkers, "user%d")
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for i := range all {
				group.Go(func() {
					for n := 0; left.Add(-batch) > -batch; n++ {
						all[i].Feed(in)
						if n%64 == 0 {
							takeAll(all[i : i+1])
						}
					}
				})
			}
			group.Wait()
		})
	}
}

// BenchmarkTick measures a Tick. The parameters are the number of clients in the room, and
// how many of them refuse octets and wait for flood control.
func BenchmarkTick(b *testing.B) {
	for _, clients := range []int{8000, 1_000_000} {
		for _, busy := range []int{0, 100} {
			b.Run(fmt.Sprintf("clients=%d/busy=%d", clients, busy), func(b *testing.B) {
				r := NewRoom(Config{
					Authenticator: OpenDoor{}, MaxClients: clients, MaxPending: clients,
					LagTime: time.Hour, Flood: Flood{Rate: 1e-9, Burst: 1},
				})
				all := crowd(b, r, clients, "user%d")
				for _, s := range all[:busy] {
					s.Feed(lines(0, 3))
					refuse(s, 0)
				}
				b.ReportAllocs()
				for b.Loop() {
					r.Tick(start)
				}
			})
		}
	}
}
