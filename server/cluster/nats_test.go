package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"chatbench/internal/tcptest"
)

// natsServer is a NATS server with JetStream in this process.
type natsServer struct {
	t    *testing.T
	opts *server.Options
	*server.Server
}

func startNATS(t *testing.T) *natsServer {
	s := &natsServer{t: t, opts: &server.Options{Host: "127.0.0.1", Port: freePorts(t, 1)[0], JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start starts the server, or starts it again at the same address and with its streams.
func (s *natsServer) start() {
	s.t.Helper()
	made, err := server.NewServer(s.opts.Clone())
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = made
	go made.Start()
	if !made.ReadyForConnections(patience) {
		s.t.Fatal("NATS does not start")
	}
}

// freePorts is ports on which nobody listens, and nobody but this process can.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports, err := tcptest.FreePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// startNATSCluster starts a cluster of three NATS servers.
func startNATSCluster(t *testing.T) (all []*natsServer) {
	ports := freePorts(t, 3)
	var routes []string
	for _, port := range ports {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i, port := range ports {
		s := &natsServer{t: t, opts: &server.Options{
			ServerName: fmt.Sprint("nats", i), Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "chat", Host: "127.0.0.1", Port: port},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}}
		s.start()
		t.Cleanup(s.stop)
		all = append(all, s)
	}
	return all
}
