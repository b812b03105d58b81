package server

import (
	"context"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"chatbench/backends/goroutine"
	"chatbench/core/wire"
)

// startNATS starts a NATS server with JetStream in this process.
func startNATS(t *testing.T) (url string) {
	t.Helper()
	s, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// Two servers with different transports share one room: messages, names, /who and history.
// When one of them ends, clients of the other are told at once who has left.
func TestTwoServers(t *testing.T) {
	url := startNATS(t)
	join := func(o *Options) {
		o.Cluster.URLs, o.Cluster.Room, o.History = url, "lobby", 10
	}
	a := launch(t, join)
	b := launch(t, func(o *Options) { join(o); o.Backend = goroutine.Backend })
	enter := func(s *Server, name string) *wireClient {
		return talk(t, connect(t, "127.0.0.1", s.Addr().String(), nil)).enter(name)
	}
	alice, bob := enter(a, "alice"), enter(b, "bob")
	alice.send(wire.AppendChat(nil, "hello"))
	alice.await(wire.Chat, "alice: hello")
	bob.await(wire.Chat, "alice: hello")
	for told := ""; told != "server: 2 here: alice, bob"; {
		bob.send(wire.AppendChat(nil, "/who"))
		told = string(bob.await(wire.Chat, "here: ").Body)
	}
	second := talk(t, connect(t, "127.0.0.1", b.Addr().String(), nil))
	second.send(wire.AppendCred(nil, "Alice", "x"))
	second.await(wire.Cred, "denied name is taken")
	second.conn.Close()

	if l := a.listening(); l.Cluster == nil || l.Cluster.Room != "lobby" || l.Cluster.Age != 24*time.Hour || l.Cluster.Node == b.listening().Cluster.Node {
		t.Errorf("listening: %+v", l.Cluster)
	}
	if st, is := (operator{a}).Stats().(operatorStats); !is || st.Cluster == nil || st.Cluster.Remote != 1 || st.Cluster.CutOff {
		t.Errorf("stats: %+v", st.Cluster)
	}
	if st := a.sources().Cluster.Stats(); st.Remote != 1 || st.Sequence == 0 {
		t.Errorf("metrics: %+v", st)
	}
	alice.send(wire.AppendChat(nil, "last words"))
	alice.await(wire.Chat, "alice: last words")
	stopped := make(chan error)
	go func() { stopped <- a.Stop(context.Background()) }()
	alice.await(wire.Close, "")
	alice.conn.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	bob.await(wire.Chat, "alice: last words")
	bob.await(wire.Chat, "alice has left")
	c := launch(t, join)
	alice = enter(c, "alice") // her name is free
	alice.await(wire.Chat, "UTC, alice: last words")
}

// Without NATS a server does not start, and the error says so. Check finds that too.
func TestNoNATS(t *testing.T) {
	o := options(new(logged))
	o.Cluster.URLs, o.Cluster.Room = "nats://user:secret@127.0.0.1:1", "lobby"
	_, err := Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "cannot reach a NATS server at nats://…@127.0.0.1:1") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Start: %v", err)
	}
	found := Check(t.Context(), o)
	if len(found.Problems) != 1 || !strings.Contains(found.Problems[0].Error(), "cannot reach a NATS server at") {
		t.Errorf("Check: %v", found.Problems)
	}
	o.Cluster.URLs = startNATS(t)
	if found := Check(t.Context(), o); len(found.Problems) > 0 {
		t.Errorf("Check: %v", found.Problems)
	}
}
