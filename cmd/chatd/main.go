// Command chatd is the chat server, with all transports of this module.
//
//	chatd user add users.txt alice
//	chatd -users users.txt -backend epoll -listen 127.0.0.1:9000
package main

import (
	"chatbench/backends/all"
	"chatbench/server/command"
)

func main() { command.Main(all.All()...) }
