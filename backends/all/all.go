// Package all is the table of transports, the only place that names all of them. Only cmd/chatd and tests
// import it, because it links the library of every transport. It has no state; any goroutine may call it.
package all

import (
	"chatbench/backends"
	"chatbench/backends/epoll"
	"chatbench/backends/evio"
	"chatbench/backends/gnet"
	"chatbench/backends/goroutine"
	"chatbench/backends/nbio"
	"chatbench/backends/netpoll"
	"chatbench/backends/poll"
	"chatbench/backends/process"
	"chatbench/backends/reactors"
	"chatbench/backends/selectio"
	"chatbench/backends/spin"
	"chatbench/backends/thread"
	"chatbench/backends/uring"
	"chatbench/backends/uringsend"
)

// All lists the transports in the order they are shown.
func All() []backends.Backend {
	return []backends.Backend{
		epoll.Backend,
		goroutine.Backend,
		thread.Backend,
		reactors.Backend,
		uring.Backend,
		uringsend.Backend,
		selectio.Backend,
		poll.Backend,
		spin.Backend,
		gnet.Backend,
		evio.Backend,
		netpoll.Backend,
		nbio.Backend,
		process.Backend,
	}
}
