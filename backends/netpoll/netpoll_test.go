package netpoll_test

import (
	"testing"

	lib "github.com/cloudwego/netpoll"

	"chatbench/backends/backendtest"
	"chatbench/backends/netpoll"
)

func TestConformance(t *testing.T) {
	lib.Initialize() // the poller belongs to the process: its descriptors are not a server's leak
	backendtest.Run(t, netpoll.Backend)
}
