package netpoll_test

import (
	"testing"

	lib "github.com/cloudwego/netpoll"

	"chatbench/backends/backendtest"
	"chatbench/backends/netpoll"
)

func TestConformance(t *testing.T) {
	lib.Initialize() // the poller is the process's: what it holds is no server's leak
	backendtest.Run(t, netpoll.Backend)
}
