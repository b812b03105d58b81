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

// BenchmarkFeed is one message of 64 octets: decoded, looked at for control
// runes, and appended to the log. So many messages come in one Feed. Everybody
// keeps up; taking the output, once in 4096 messages, is counted too.
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

// BenchmarkNext is the flush of one session of 1000: what the core does for
// one write that carries so many messages. Saying them, once for all sessions,
// is counted too.
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

// BenchmarkRelay is one File frame from a client to another, taken at once.
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

// BenchmarkTalkers is messages of 64 octets, 60 in each Feed, from so many
// talkers on a goroutine each, each of whom also takes the output of a listener.
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

// BenchmarkTick is what a Tick costs with so many clients in the room, of whom
// some refuse octets and some wait for flood control.
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
