// Command outside is a chatd with a transport of its own beside two of chatbench's.
package main

import (
	"chatbench/backends/epoll"
	"chatbench/backends/process"
	"chatbench/server/command"
	"example.com/outside/simple"
)

func main() { command.Main(simple.Backend, epoll.Backend, process.Backend) }
