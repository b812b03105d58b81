package command

import (
	"flag"

	"chatbench/core/units"
	"chatbench/server"
)

// defineCluster defines what joins the room to those of other servers.
func defineCluster(fs *flag.FlagSet, o *server.Options) {
	c := &o.Cluster
	fs.StringVar(&c.URLs, "cluster", "", "have one room with other servers, over NATS with JetStream at `URL,…`, such as nats://10.0.0.1,nats://10.0.0.2")
	fs.StringVar(&c.Room, "cluster-room", "", "`NAME` of that room, the same for all its servers")
	fs.StringVar(&c.Credentials, "cluster-creds", "", "`FILE` of NATS credentials, as nsc makes them")
	fs.StringVar(&c.CA, "cluster-ca", "", "`FILE` of certificates (PEM) that those of NATS are signed with")
	fs.StringVar(&c.Cert, "cluster-cert", "", "certificate `FILE` (PEM) that is shown to NATS")
	fs.StringVar(&c.Key, "cluster-key", "", "key `FILE` of -cluster-cert (PEM)")
	fs.DurationVar(&c.MaxAge, "cluster-age", c.MaxAge, "`TIME` the stream keeps what was said, if this server makes it; 0: for ever")
	fs.Var((*units.Size)(&c.MaxBytes), "cluster-size", "`SIZE` of what it keeps at most, if this server makes it")
	fs.IntVar(&c.Replicas, "cluster-replicas", c.Replicas, "`N` NATS servers keep a copy of it, if this server makes it: 3 where there are three")
}
