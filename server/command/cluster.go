package command

import (
	"flag"

	"chatbench/core/units"
	"chatbench/server"
)

// defineCluster defines the flags of a room on several servers.
func defineCluster(fs *flag.FlagSet, o *server.Options) {
	c := &o.Cluster
	fs.StringVar(&c.URLs, "cluster", "", "share one room with other servers, over NATS with JetStream at `URL,…`, such as nats://10.0.0.1,nats://10.0.0.2")
	fs.StringVar(&c.Room, "cluster-room", "", "`NAME` of that room, the same for all its servers")
	fs.StringVar(&c.Credentials, "cluster-creds", "", "`FILE` of NATS credentials, as nsc makes them")
	fs.StringVar(&c.CA, "cluster-ca", "", "`FILE` of CA certificates (PEM) for the NATS servers")
	fs.StringVar(&c.Cert, "cluster-cert", "", "client certificate `FILE` (PEM) for NATS")
	fs.StringVar(&c.Key, "cluster-key", "", "key `FILE` of -cluster-cert (PEM)")
	fs.DurationVar(&c.MaxAge, "cluster-age", c.MaxAge, "`TIME` for which the stream keeps messages, if this server makes it; 0: for ever")
	fs.Var((*units.Size)(&c.MaxBytes), "cluster-size", "`SIZE` of the messages that the stream keeps at most, if this server makes it")
	fs.IntVar(&c.Replicas, "cluster-replicas", c.Replicas, "`N` NATS servers keep a copy of the stream, if this server makes it: 3 with three NATS servers")
}
